"""The resident's screen: a loopback web server and its live connection with the page."""
