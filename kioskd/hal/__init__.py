"""The contracts of the devices. Callers see these and never a driver."""
