"""Drivers of the kind: panel."""
