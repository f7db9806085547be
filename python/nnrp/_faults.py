"""Exceptions for what the native side reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnrp._lazy import packet_from_native
from nnrp.core import ErrorCode, ErrorScope
from nnrp.errors import NnrpAuthenticationError, NnrpProtocolError

if TYPE_CHECKING:
    from nnrp import _native


def protocol_error(
    message: str,
    code: int,
    scope: int,
    is_fatal: bool,
    retry_after_ms: int,
    session_id: int,
    frame_id: int,
    view_id: int,
    diagnostic: str,
    packet: _native.Packet | None,
) -> NnrpProtocolError:
    """Return the exception for an ERROR of the peer or a rule that it broke."""
    error_code: ErrorCode | int = ErrorCode(code) if code in ErrorCode.__members__.values() else code
    kind = NnrpAuthenticationError if error_code is ErrorCode.AUTH_FAILED else NnrpProtocolError
    return kind(
        message,
        error_code=error_code,
        error_scope=ErrorScope(scope),
        is_fatal=is_fatal,
        retry_after_ms=retry_after_ms,
        session_id=session_id,
        frame_id=frame_id,
        view_id=view_id,
        diagnostic=diagnostic,
        packet=packet_from_native(packet) if packet is not None else None,
    )
