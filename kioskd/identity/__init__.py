"""Who is at the other end: keys, the credentials that authorities give them, signed statements.

Nothing here does I/O or reads a clock, but `keys` and `authority`, which keep files.
"""
