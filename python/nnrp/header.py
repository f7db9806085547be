"""The common header, under the name that the documentation uses."""

from nnrp.core.header import HEADER_LENGTH, HEADER_MAGIC, NnrpHeader

__all__ = ["HEADER_LENGTH", "HEADER_MAGIC", "NnrpHeader"]
