from nnrp.adapters import *
from nnrp.core import *
from nnrp.errors import *

__version__: ...
