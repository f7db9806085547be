"""Interoperability with the published ``nnrp-py``: both directions, both transports."""
