"""What can be told about the camera from its pictures, sans-I/O."""
