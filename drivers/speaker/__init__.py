"""Drivers of the kind: speaker."""
