"""The bodies of control messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nnrp._native import codec
from nnrp.core import ControlExtensionFlags
from nnrp.inspect._region import align
from nnrp.inspect._tables import EXTENSION_ENTRY, EXTENSIONS, LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nnrp.inspect._region import Region, Values

__all__ = ["BODIES", "EXTENSIONS_NAME", "SECRET_MESSAGES"]

EXTENSIONS_NAME: Final = "control extensions"
"""What the node of an extension block is called."""

SECRET_MESSAGES: Final = frozenset({"CLIENT_HELLO", "SESSION_MIGRATE"})
"""Messages with credentials in their bodies: of these no byte is shown that no table explains."""


def _client_hello(body: Region, metadata: Values | None) -> None:
    extensions = metadata["control_extension_bytes"] if metadata else 0
    auth = metadata["auth_bytes"] if metadata else 0
    if extensions + auth == body.remaining and _is_block(body, 0, extensions):
        _take_extensions(body, extensions)
        body.secret("auth_block", auth)
    elif extensions + auth == body.remaining and auth and _is_block(body, auth, extensions):
        body.secret("auth_block", auth)
        body.node.note = "auth block first, as the written protocol has it"
        _take_extensions(body, extensions)
    else:  # whatever cannot be told apart may be credentials
        body.secret("extensions or auth block", body.remaining)


def _is_block(body: Region, offset: int, length: int) -> bool:
    start = body.start + offset
    try:
        codec.decode_extensions(body.raw[start : start + length], None)
    except ValueError:
        return False
    return True


def _take_extensions(body: Region, length: int) -> None:
    if not length:
        return
    block = body.group(EXTENSIONS_NAME, length)
    for _ in range(body.options.limit):
        if not block.remaining:
            return
        _take_extension(block)
    block.rest("more control extensions")


def _take_extension(block: Region) -> None:
    entry = block.group("extension", block.remaining)
    _, values = entry.layout(EXTENSION_ENTRY, "entry")
    if values is not None:
        layout = EXTENSIONS.get(values["ext_type"])
        length = values["ext_len"]
        if layout is not None and length == layout.length:
            entry.layout(layout)
        else:
            entry.data("payload", length)
        entry.padding(min(align(length) - length, entry.remaining))
        critical = ", critical" if values["ext_flags"] & ControlExtensionFlags.CRITICAL else ""
        name = layout.name if layout else "type without a meaning here"
        entry.node.text = f"0x{values['ext_type']:04x} {name}{critical}"
    entry.node.length = entry.position - entry.start
    block.position = entry.position


def _server_hello_ack(body: Region, metadata: Values | None) -> None:
    _take_extensions(body, min(metadata["control_extension_bytes"] if metadata else 0, body.remaining))
    if body.remaining:
        body.text("model_name", body.remaining)


def _close(body: Region, _: Values | None) -> None:
    body.text("reason", body.remaining)


def _error(body: Region, metadata: Values | None) -> None:
    length = min(metadata["diagnostic_bytes"] if metadata else body.remaining, body.remaining)
    body.text("diagnostic", length)
    if body.remaining:
        body.padding(min(align(length) - length, body.remaining))
        _take_extensions(body, body.remaining)


def _patch(layout: str) -> Callable[[Region, Values | None], None]:
    def take(body: Region, _: Values | None) -> None:
        if body.remaining:
            body.layout(LAYOUTS[layout])
        body.rest()

    return take


def _data(name: str) -> Callable[[Region, Values | None], None]:
    def take(body: Region, _: Values | None) -> None:
        body.data(name, body.remaining)

    return take


def _migrate(body: Region, _: Values | None) -> None:
    body.secret("token", body.remaining)


BODIES: Final[dict[str, Callable[[Region, Values | None], None]]] = {
    "CLIENT_HELLO": _client_hello,
    "SERVER_HELLO_ACK": _server_hello_ack,
    "SESSION_PATCH": _patch("TensorProfilePatchBlock"),
    "SESSION_PATCH_ACK": _patch("TensorProfilePatchAckBlock"),
    "CLOSE": _close,
    "ERROR": _error,
    "CACHE_PUT": _data("object"),
    "TRANSPORT_PROBE": _data("filler"),
    "SESSION_MIGRATE": _migrate,
    "SESSION_MIGRATE_ACK": _data("opaque bytes"),
}
"""How to take the body of a message apart; the others have none, or are frames."""
