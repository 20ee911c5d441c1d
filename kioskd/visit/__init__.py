"""The visit: a state machine without I/O. All policy of the kiosk is here."""
