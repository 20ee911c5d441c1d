"""Looks at pictures: what is wrong with a camera that seems to work."""
