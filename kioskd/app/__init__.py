"""The composition root and the hands of the visit: what carries its effects out."""
