"""Drivers of the kind: scanner."""
