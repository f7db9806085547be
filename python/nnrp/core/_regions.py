"""Composed bodies: a prelude and six regions."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import accumulate, pairwise

from nnrp._native import codec
from nnrp.core._base import BytesLike, Value, as_view
from nnrp.core._metadata import BODY_REGION_PRELUDE_LENGTH, BodyRegionPrelude

__all__ = ["BodyView", "pack_body", "unpack_regions"]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class BodyView(Value):
    """A received composed body, as read-only views of its regions; one that is absent is empty."""

    prelude: BodyRegionPrelude
    inline_object_region: memoryview
    """See `unpack_inline_object_blocks`."""
    object_reference_region: memoryview
    """See `unpack_object_reference_blocks`."""
    typed_payload_descriptor_region: memoryview
    """See `unpack_typed_payload_frames`."""
    typed_payload_frame_region: memoryview
    """The bytes of the typed payloads."""
    extension_descriptor_region: memoryview
    """See `unpack_extension_frames`."""
    extension_payload_region: memoryview
    """The bytes of the extension frames."""


def pack_body(
    *,
    inline_object_region: BytesLike = b"",
    object_reference_region: BytesLike = b"",
    typed_payload_descriptor_region: BytesLike = b"",
    typed_payload_frame_region: BytesLike = b"",
    extension_descriptor_region: BytesLike = b"",
    extension_payload_region: BytesLike = b"",
) -> bytes:
    """Return a composed body: the prelude and the regions, one after the other.

    Raises:
        ValueError: a region of references or descriptors is no multiple of 16 bytes long (R-BODY-5).

    """
    regions = (
        inline_object_region,
        object_reference_region,
        typed_payload_descriptor_region,
        typed_payload_frame_region,
        extension_descriptor_region,
        extension_payload_region,
    )
    prelude = BodyRegionPrelude(*(memoryview(region).nbytes for region in regions))
    return b"".join((prelude.pack(), *regions))


def region_views(view: memoryview) -> BodyView:
    """Return the regions of a composed body that the native rules have accepted."""
    values = BodyRegionPrelude.STRUCT.unpack_from(view)
    prelude = BodyRegionPrelude._from_wire(values)  # noqa: SLF001  # the cheap constructor is for us
    ends = accumulate(values[:6], initial=BODY_REGION_PRELUDE_LENGTH)
    return BodyView(prelude, *(view[start:end] for start, end in pairwise(ends)))


def unpack_regions(body: BytesLike, known_extension_kinds: AbstractSet[int] | None) -> BodyView:
    """Return the regions of a composed body, each of them well-formed by itself.

    Whether they go with the metadata of a frame or result is for `validate_frame_submit_body` and
    `validate_result_push_body`.

    Raises:
        ValueError: the prelude does not describe the body, or a region does not parse (R-BODY, R-OBJ-1 to 3,
            R-TYP-1 to 4, R-XF-1 to 3).

    """
    codec.check_regions(body, known_extension_kinds)
    return region_views(as_view(body))
