"""`python -m nnrp` is the command `nnrp`."""

from __future__ import annotations

import sys

from nnrp.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
