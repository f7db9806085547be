from nnrp.adapters.quic import *
from nnrp.adapters.tcp import *
