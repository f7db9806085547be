# The native half of the package.

from nnrp._native import codec as codec
