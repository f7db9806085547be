"""Parts of ``tools/differential.py``."""
