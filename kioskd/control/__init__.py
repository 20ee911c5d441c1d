"""The technician's way in: HTTP over a unix socket, for kioskctl."""
