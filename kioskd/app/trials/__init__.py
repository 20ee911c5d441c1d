"""What `kioskctl test` does with each part of the kiosk."""
