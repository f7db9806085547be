# The native half of `nnrp.core`. Every function raises ValueError for what a rule of the protocol refuses.

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias, TypedDict

from typing_extensions import Buffer

__all__ = [
    "check_coverage",
    "check_extension",
    "check_extension_frames",
    "check_header",
    "check_inline_objects",
    "check_message",
    "check_metadata",
    "check_object_references",
    "check_regions",
    "check_result_body",
    "check_submit_body",
    "check_tensor_body",
    "check_typed_payloads",
    "decode_extensions",
    "decode_tile_index",
    "encode_extensions",
    "encode_result",
    "encode_section",
    "encode_submit",
    "encode_tile_index",
    "tables",
]

_Range: TypeAlias = tuple[int, int] | None
_Parts: TypeAlias = tuple[bool, _Range, _Range, _Range]

class _CodeTable(TypedDict):
    name: str
    doc: str
    members: list[tuple[str, int, str]]
    aliases: list[tuple[str, int]]

class _Field(TypedDict):
    name: str
    offset: int
    size: int
    kind: str | None
    reserved: str | None
    rule: str | None
    doc: str

class _Layout(TypedDict):
    name: str
    length: int
    message: str | None
    doc: str
    fields: list[_Field]

class _Tables(TypedDict):
    enums: list[_CodeTable]
    masks: list[_CodeTable]
    header: _Layout
    layouts: list[_Layout]
    extensions: dict[int, _Layout]
    messages: dict[str, int]
    constants: dict[str, Any]

def tables() -> _Tables: ...
def check_header(payload: Buffer) -> None: ...
def check_metadata(name: str, payload: Buffer) -> None: ...
def check_coverage(metadata: Buffer) -> None: ...
def check_submit_body(
    metadata: Buffer, body: Buffer, composed: bool, known: AbstractSet[int] | None
) -> _Parts: ...
def check_result_body(
    metadata: Buffer, body: Buffer, composed: bool, known: AbstractSet[int] | None
) -> _Parts: ...
def check_regions(body: Buffer, known: AbstractSet[int] | None) -> None: ...
def check_inline_objects(region: Buffer) -> None: ...
def check_object_references(region: Buffer) -> None: ...
def check_typed_payloads(descriptors: Buffer, payloads: Buffer) -> None: ...
def check_extension_frames(descriptors: Buffer, payloads: Buffer, known: AbstractSet[int] | None) -> None: ...
def check_tensor_body(
    body: Buffer, tile_index_bytes: int, section_count: int, tile_count: int | None
) -> None: ...
def decode_tile_index(block: Buffer, mode: int, tile_count: int, tile_base_id: int) -> tuple[int, ...]: ...
def encode_tile_index(tile_ids: Iterable[int], mode: int, tile_base_id: int) -> bytes: ...
def encode_section(section: Any) -> bytes: ...
def encode_submit(arguments: dict[str, Any]) -> tuple[bytes, bytes]: ...
def encode_result(arguments: dict[str, Any]) -> tuple[bytes, bytes]: ...
def check_message(msg_type: int, session_id: int, metadata: Buffer, body: Buffer) -> None: ...
def encode_extensions(entries: Sequence[tuple[int, int, Buffer]]) -> bytes: ...
def decode_extensions(block: Buffer, known: AbstractSet[int] | None) -> list[tuple[int, int, bytes]]: ...
def check_extension(expected: int, ext_type: int, payload: Buffer) -> None: ...
