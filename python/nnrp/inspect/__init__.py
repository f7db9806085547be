"""Looking at packets: bytes in, a tree of named fields out, with the rules that are broken marked in it.

What `nnrp decode` prints comes from here. :func:`dissect` takes one packet apart and never raises:
a damaged packet is shown as far as it goes, and each mark carries the id of the rule and the sentence of the
check that a receiver would apply. :func:`split` finds the packets of a byte stream.

The tables are those of the native codec, so what is shown cannot differ from what is sent.
"""

from nnrp.inspect._packet import Packet, dissect, split
from nnrp.inspect._region import Options
from nnrp.inspect._tree import Node, Violation

__all__ = ["Node", "Options", "Packet", "Violation", "dissect", "split"]
