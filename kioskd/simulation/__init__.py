"""Real stacks with simulated devices, private to a folder: for the demo and the tests."""
