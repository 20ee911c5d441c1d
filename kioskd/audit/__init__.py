"""The audit log: who did what at this kiosk, and when; never what a paper says."""
