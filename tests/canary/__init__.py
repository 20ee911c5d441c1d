"""Marked documents and names: nothing of them may be left after a visit."""
