"""What a handler may return."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from nnrp.core import BudgetPolicy, ResultClass, ResultFlags, ResultHintReason, TensorSectionData

if TYPE_CHECKING:
    from nnrp.client.request import TypedPayload
    from nnrp.server import ReceivedSubmit

__all__ = ["Answer", "Drop", "Reply", "payload_of"]

Answer: TypeAlias = Any
"""What an answer is made of, by its type:

- a NumPy array, or what exports DLPack (a CPU tensor of PyTorch): one tensor section;
- `str`: a token chunk, in UTF-8;
- `bytes`, `bytearray`, `memoryview`: an opaque payload;
- a `dict`: a structured event, as JSON;
- a section, received or a :class:`~nnrp.core.TensorSectionData`, or a :class:`~nnrp.client.TypedPayload`:
  itself;
- a `list` or `tuple` of these: all of them, in one result.

The n-th array takes the `role_id` of the n-th section that was submitted, and further ones count on from
there: in a result they have to grow (R-SEC-3). Of a frame with one tile an array is that tile, whatever its
shape; of a frame with more, its first axis counts the tiles, in the order of `submit.request.tile_ids`.

A generator, plain or `async`, yields such answers: each is sent at once as a partial result, if the client
takes partial results, and otherwise they are sent together at the end.
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with more to say about it.

    Attributes:
        content: the answer; see :data:`Answer`.
        result_class: how complete it is.
        tile_ids: which tiles the sections hold; those of the frame if empty.
        status_code: the application's own number (u16).
        applied_budget_policy: which of the client's allowances was used; the one that belongs to
            `result_class` if `NONE`.
        result_flags: see :class:`~nnrp.core.ResultFlags`.
        active_profile_id: how to read the tensors, agreed between the applications (u16).
        reused_frame_id: the frame a stale result was made from.
        covered_tile_count: tiles with fresh content; all but the dropped ones if `None`.
        dropped_tile_count: tiles without content.

    """

    content: Answer = ()
    result_class: ResultClass = ResultClass.COMPLETE
    tile_ids: Sequence[int] = ()
    status_code: int = 0
    applied_budget_policy: BudgetPolicy = BudgetPolicy.NONE
    result_flags: ResultFlags = ResultFlags.NONE
    active_profile_id: int = 0
    reused_frame_id: int = 0
    covered_tile_count: int | None = None
    dropped_tile_count: int = 0

    def arguments(self, submit: ReceivedSubmit) -> dict[str, Any]:
        """Return the arguments of ``send_result`` for this answer to ``submit``.

        Raises:
            TypeError: the content holds something that is no answer, or an array of a dtype the wire lacks.
            ValueError: an array's first axis does not count the tiles.
            ImportError: an array, and NumPy is missing.

        """
        sections, payloads = contents(self.content, submit)
        return {
            "sections": sections,
            "typed_payloads": payloads,
            "result_class": self.result_class,
            "tile_ids": tuple(self.tile_ids),
            "status_code": self.status_code,
            "applied_budget_policy": self.applied_budget_policy,
            "result_flags": self.result_flags,
            "active_profile_id": self.active_profile_id,
            "reused_frame_id": self.reused_frame_id,
            "covered_tile_count": self.covered_tile_count,
            "dropped_tile_count": self.dropped_tile_count,
        }


@dataclass(frozen=True, slots=True)
class Drop:
    """No result for this frame.

    Attributes:
        reason: what the client is told, if it is a :class:`~nnrp.core.ResultHintReason` or one of the words
            `"queue_full"`, `"server_busy"`, `"budget_exceeded"`, `"superseded"`; any other text is logged.

    """

    reason: str | ResultHintReason = ResultHintReason.NONE


def contents(
    content: Answer, submit: ReceivedSubmit
) -> tuple[tuple[TensorSectionData, ...], tuple[TypedPayload, ...]]:
    """Return the sections and the typed payloads that an answer is made of. Raises as `Reply.arguments`."""
    sections: list[TensorSectionData] = []
    payloads: list[TypedPayload] = []
    items = cast("Sequence[Any]", content) if isinstance(content, list | tuple) else [content]
    for item in items:
        payload = payload_of(item)
        if payload is not None:
            payloads.append(payload)
        elif hasattr(item, "tile_buffers"):  # a section, received or made
            sections.append(item)
        elif hasattr(item, "__array__") or hasattr(item, "__dlpack__"):
            sections.append(_section(item, sections, submit))
        else:
            raise TypeError(
                f"a handler returned a {type(item).__name__}; an answer is an array, a str, bytes, a dict, "
                "a section, a payload, a list of these, a Reply, a Drop, or None"
            )
    return tuple(sections), tuple(payloads)


def payload_of(item: object) -> TypedPayload | None:
    """Return the typed payload that a value stands for, ``None`` if it is something else.

    Raises:
        TypeError, ValueError: a dict that JSON cannot say.

    """
    from nnrp.client.request import TypedPayload  # noqa: PLC0415  # `nnrp --help` does without

    match item:
        case TypedPayload():
            return item
        case str():
            return TypedPayload.token_chunk(item.encode())
        case bytes() | bytearray() | memoryview():
            return TypedPayload.opaque_bytes(bytes(cast("memoryview", item)))
        case Mapping():
            text = json.dumps(cast("Mapping[str, Any]", item), ensure_ascii=False)
            return TypedPayload.structured_event(text.encode())
        case _:
            return None


def _section(array: Any, before: list[TensorSectionData], submit: ReceivedSubmit) -> TensorSectionData:
    """Return an array as the next section after those."""
    from nnrp.arrays import tensor_section  # noqa: PLC0415  # needs NumPy

    submitted = submit.request.sections
    tiles = len(submit.request.tile_ids) if submitted else 1
    model = submitted[len(before)] if len(before) < len(submitted) else None
    following = before[-1].role_id + 1 if before else 1
    if tiles > 1:
        shape = tuple(array.shape)
        if not shape or shape[0] != tiles:
            raise ValueError(
                f"the frame has {tiles} tiles, and the array has shape {shape}: its first axis must count "
                "the tiles"
            )
    try:
        return tensor_section(
            array if tiles > 1 else [array],
            role_id=model.role_id if model is not None else following,
            **({"layout_id": model.layout_id} if model is not None else {}),
        )
    except TypeError as error:
        raise TypeError(f"{error}; convert it, for example with .astype('float32')") from None
