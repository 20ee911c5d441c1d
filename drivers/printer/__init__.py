"""Drivers of the kind: printer."""
