"""The kiosk's own picture on its way to the line: size, frame rate and coding. No I/O."""
