"""kioskd: the software of the borne visioservices."""

__version__ = "0.1.0"
