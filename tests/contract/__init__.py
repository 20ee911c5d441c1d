"""One suite per kind of device, over the fake and the real driver."""
