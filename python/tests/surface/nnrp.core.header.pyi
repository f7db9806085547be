from nnrp.core import HEADER_LENGTH, HEADER_MAGIC, NnrpHeader
