"""The drivers of kioskd: for each kind the real ones, `fake` and `none`."""
