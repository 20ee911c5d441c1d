"""The real pages in Chromium, against the real stacks."""
