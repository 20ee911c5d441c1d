"""What a line carries, from when packets left and came, and who may have how much of it. No I/O."""
