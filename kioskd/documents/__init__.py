"""Documents: carried over data channels, kept in RAM, assembled, and vetted before print."""
