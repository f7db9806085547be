"""The enumerations of headers and errors."""

from nnrp.core._enums import ErrorCode, ErrorScope, FrameClass, HeaderFlags, MessageType, WireFormat

__all__ = ["ErrorCode", "ErrorScope", "FrameClass", "HeaderFlags", "MessageType", "WireFormat"]
