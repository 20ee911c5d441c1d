"""Real stacks with emulated peers."""
