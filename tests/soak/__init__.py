"""What stays behind after many visits."""
