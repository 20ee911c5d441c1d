"""Mutated documents and messages against what reads them."""
