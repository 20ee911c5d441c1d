"""The call: legs over aiortc and what is said on its data channels."""
