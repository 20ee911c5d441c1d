"""Drivers of the kind: microphone."""
