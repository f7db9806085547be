from nnrp.core import ErrorCode, ErrorScope, FrameClass, HeaderFlags, MessageType, WireFormat
