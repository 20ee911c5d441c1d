"""Drivers of the kind: camera."""
