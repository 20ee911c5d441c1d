"""How long a call takes to set up, beside two pages in Chromium."""
