"""Faults in the real stacks, and what must hold all the same."""
