"""Exits with 0 when a program can be linked with this interpreter's library.

The unit tests of nnrp-python need that. Many systems ship the interpreter without its library; the package
does not need it, and its Python tests run anyway.
"""

import sys
import sysconfig
from pathlib import Path

folder, name = sysconfig.get_config_vars("LIBDIR", "LDLIBRARY")
found = bool(folder and name) and (Path(folder) / name).exists()
if not found:
    sys.stdout.write(f"no {name} here to link with: the unit tests of nnrp-python are left out\n")
sys.exit(not found)
