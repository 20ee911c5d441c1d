"""What others send, broken in every way that chance finds."""
