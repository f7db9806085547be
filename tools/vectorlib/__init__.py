"""Parts of ``tools/make_vectors.py``: packets to build, ways to damage them, and what the peer says."""
