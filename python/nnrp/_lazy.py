"""Received objects whose fields are made when they are first read.

What the session methods return are subclasses of the public dataclasses. They start with no field set and a
native source beside them; reading a field that is not set makes it from the source and keeps it. Nobody pays
for fields nobody reads, and payload bytes are not copied before they are asked for as ``bytes``. Comparison,
``repr``, ``dataclasses.fields``, ``replace`` and pickling behave as for the public class.

Such a field is a property in front of the slot of the public class. A ``__getattr__`` would be shorter, but a
class that has one is slow in every attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, fields
from itertools import repeat
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any, ClassVar, NoReturn, Self

from nnrp import _native
from nnrp.core import (
    NnrpHeader,
    NnrpPacket,
    TensorBodyView,
    TensorSectionData,
    TensorSectionDesc,
    TensorSectionView,
)
from nnrp.core._base import unfrozen

_set = object.__setattr__
new_object = object.__new__


class Lazy:  # noqa: PLW1641  # mutable dataclasses are not hashable either
    """Mixin for a subclass of a slots dataclass; put it first among the bases.

    Class attributes:
        _public: the dataclass that is subclassed.
        _build: for each field that is made when it is read, a function from this object to its value.
    """

    __slots__ = ()

    _public: ClassVar[type]
    _build: ClassVar[Mapping[str, Callable[[Any], Any]]]
    _source: Any

    def __init_subclass__(cls) -> None:
        """Let the subclass show itself under the public name, and make fields when they are read."""
        if not hasattr(cls, "_public"):
            return
        cls.__name__ = cls._public.__name__
        cls.__qualname__ = cls._public.__qualname__
        cls.__module__ = cls._public.__module__
        for name, build in cls.__dict__.get("_build", {}).items():
            slot = getattr(cls, name)
            if isinstance(slot, MemberDescriptorType):  # else the class has something better
                setattr(cls, name, _made_when_read(slot, build, frozen=issubclass(cls, LazyFrozen)))

    def __new__(cls, *args: Any, **fields: Any) -> Self:
        """Return a plain object: what is constructed, as by ``dataclasses.replace``, has no source."""
        plain: Self = cls._public(*args, **fields)
        return plain

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, self._public):
            return NotImplemented
        return all(
            getattr(self, field.name) == getattr(other, field.name)
            for field in fields(self._public)
            if field.compare
        )

    def __reduce__(self) -> tuple[Any, ...]:
        plain = {field.name: getattr(self, field.name) for field in fields(self._public)}
        return (_rebuild, (self._public, plain))


def is_built(lazy: Lazy, name: str) -> bool:
    """Return whether a field has been read, without reading it."""
    try:
        object.__getattribute__(lazy, name)
    except AttributeError:
        return False
    return True


def _made_when_read(slot: MemberDescriptorType, build: Callable[[Any], Any], *, frozen: bool) -> property:
    """Return what stands before the ``slot`` of a field: it calls ``build`` when nothing is in there yet."""
    get, put, name = slot.__get__, slot.__set__, slot.__name__

    def read(self: Lazy) -> Any:
        try:
            return get(self)
        except AttributeError:
            pass  # outside of this, so that what goes wrong while it is made does not seem to come of it
        value = build(self)
        put(self, value)
        return value

    def refuse_to_set(_self: Lazy, _value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def refuse_to_delete(_self: Lazy) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    return property(read, refuse_to_set, refuse_to_delete) if frozen else property(read, put, slot.__delete__)


class LazyFrozen(Lazy):
    """The same for frozen dataclasses, which are hashable."""

    __slots__ = ()

    __eq__ = (
        Lazy.__eq__
    )  # a class that defines only __hash__ would inherit it anyway; this keeps the pair together

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, field.name) for field in fields(self._public) if field.compare))


class LazyThroughout(LazyFrozen):
    """The same where all fields are made when they are read, and so refuse by themselves to be changed.

    What is beside them is set by the interpreter without a call; it does that only where neither of the two
    methods is a function of Python's.
    """

    __slots__ = ()

    __setattr__ = object.__setattr__
    __delattr__ = object.__delattr__


def _rebuild(public: type, values: dict[str, Any]) -> Any:
    return public(**values)


class LazyPacket(Lazy, NnrpPacket):
    """A packet over a native one."""

    __slots__ = ("_source",)

    _source: _native.Packet | _native.Submit
    _public = NnrpPacket
    _build: ClassVar = {
        "header": lambda self: NnrpHeader._from_wire(self._source.header),
        "metadata": lambda self: self._source.packet.metadata,
        "body": lambda self: self._source.packet.body,
    }


def packet_from_native(native: _native.Packet | _native.Submit) -> NnrpPacket:
    """Return the public packet over a received one, or over what was received with it."""
    packet = new_object(LazyPacket)
    packet._source = native
    return packet


class LazySectionView(LazyFrozen, TensorSectionView):
    """A received section; all but its payload is decoded when it is read."""

    __slots__ = ("_source",)

    _source: _native.Section
    _public = TensorSectionView
    _build: ClassVar = {
        "desc": lambda self: TensorSectionDesc._from_wire(self._source.descriptor()),
        "codec_table": lambda self: self._source.codec_table(),
        "length_table": lambda self: self._source.length_table(),
    }


_SectionViewDraft: Any = unfrozen(LazySectionView)


def _section_view(source: _native.Section) -> TensorSectionView:
    draft: Any = new_object(_SectionViewDraft)
    draft._source = source
    draft.payload = source.payload()
    draft.__class__ = LazySectionView
    view: TensorSectionView = draft
    return view


class LazySection(LazyThroughout, TensorSectionData):
    """Tensor data as received: payloads become ``bytes`` when read, and are sent on without a copy."""

    __slots__ = ("_place", "_source", "_view")

    _source: _native.Submit
    _place: int
    _view: TensorSectionView
    _public = TensorSectionData
    _build: ClassVar = {
        "_view": lambda self: _section_view(self._source.section(self._place)),
        **{field.name: attrgetter(f"_view.{field.name}") for field in fields(TensorSectionData)},
    }

    def tile_buffers(self) -> tuple[memoryview, ...]:
        """Return the bytes of each tile, still without a copy: arrays are made of them."""
        return self._view.tile_buffers()

    def packed_tiles(self) -> tuple[memoryview, int]:
        """Return the payload and the distance of its tiles, likewise."""
        return self._view.packed_tiles()


def sections_from_native(submit: _native.Submit) -> tuple[TensorSectionData, ...]:
    """Return the sections of a frame as data, without reading anything of them yet."""
    count = submit.section_count
    return tuple(map(_section_from_native, repeat(submit, count), range(count)))


def _section_from_native(submit: _native.Submit, place: int) -> TensorSectionData:
    section = new_object(LazySection)
    section._source = submit
    section._place = place
    return section


class LazyTensorBody(LazyFrozen, TensorBodyView):
    """The tensors of a received body; the tile index is sliced when it is read."""

    __slots__ = ("_source",)

    _source: _native.FrameBody
    _public = TensorBodyView
    _build: ClassVar = {"tile_index_block": lambda self: self._source.tile_index_block()}


_TensorBodyDraft: Any = unfrozen(LazyTensorBody)


def tensor_body_from_native(body: _native.FrameBody) -> TensorBodyView | None:
    """Return views of the tensor part of a body, ``None`` if it has none."""
    sections = body.sections()
    if sections is None:
        return None
    draft: Any = new_object(_TensorBodyDraft)
    draft._source = body
    draft.sections = tuple(map(_section_view, sections))
    draft.__class__ = LazyTensorBody
    tensor_body: TensorBodyView = draft
    return tensor_body
