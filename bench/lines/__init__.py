"""The bench for lines: the same call over the same bad line, by three kinds of kiosk."""
