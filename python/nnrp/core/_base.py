"""What all fixed-layout classes share: fields to bytes, bytes to fields, and who checks them.

The layouts themselves are in `_metadata.py`, which is generated from the tables of the native codec. Python
moves the bytes; whether the values are allowed is decided by the native rules, so that both languages refuse
the same things with the same words.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import Field, fields  # get_type_hints() needs Field
from functools import wraps
from inspect import signature
from itertools import pairwise
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias, TypeVar, cast

from nnrp._native import codec

if TYPE_CHECKING:
    from typing_extensions import Buffer

    BytesLike: TypeAlias = Buffer
else:
    #: For get_type_hints(); the package that has the whole truth is not needed to run.
    BytesLike = bytes | bytearray | memoryview

__all__ = [
    "FrameNote",
    "Metadata",
    "Record",
    "Value",
    "as_bytes",
    "as_member",
    "as_view",
    "filled_directly",
    "init_alias",
    "misfit",
    "octets",
    "saturate_u16",
    "unfrozen",
]

_MemberT = TypeVar("_MemberT", bound=int)
_ClassT = TypeVar("_ClassT")

U16_MAX: Final = 0xFFFF
"""Largest number of milliseconds that the duration fields of frames and results can say."""


def as_bytes(payload: BytesLike) -> bytes:
    """Return `payload` itself when it is `bytes`, else a copy of what it holds.

    Arrays count as their elements in C order: those with a buffer, and those that only speak DLPack (a CPU
    tensor of PyTorch).
    """
    if type(payload) is bytes:
        return payload
    try:
        return memoryview(payload).tobytes()
    except (TypeError, ValueError):
        if not hasattr(payload, "__dlpack__"):
            raise
    from nnrp.core._arrays import dlpack_bytes  # noqa: PLC0415  # NumPy, for those who use it

    return dlpack_bytes(payload)


def as_view(payload: BytesLike) -> memoryview:
    """Return a read-only, one-dimensional view of the bytes of `payload`, without a copy."""
    view = memoryview(payload)
    if view.ndim != 1 or view.format != "B":
        view = view.cast("B")
    return view if view.readonly else view.toreadonly()


def as_member(kind: type[_MemberT], value: int) -> _MemberT:
    """Return the member of `kind` that `value` stands for.

    A value that is no member stays as it is: the object can be printed and compared, and `pack()` refuses it
    by name.
    """
    if type(value) is kind:
        return value
    try:
        return kind(index(value))
    except (TypeError, ValueError):
        return value  # type: ignore[return-value]  # refused by pack(), see above


def octets(payload: BytesLike) -> str:
    """Return what a `repr` says about bytes: how many, never which."""
    return f"<{memoryview(payload).nbytes} bytes>"


def saturate_u16(milliseconds: int) -> int:
    """Return `milliseconds`, or the most a duration field can say when that is less."""
    return min(milliseconds, U16_MAX)


def init_alias(**aliases: str) -> Callable[[type[_ClassT]], type[_ClassT]]:
    """Let the constructor of a class take another keyword for a field: `init_alias(keyword="field")`."""

    def decorate(cls: type[_ClassT]) -> type[_ClassT]:
        plain = cls.__init__

        @wraps(plain)
        def __init__(self: _ClassT, *args: Any, **kwargs: Any) -> None:  # noqa: N807  # it becomes one
            for alias, name in aliases.items():
                if alias in kwargs:
                    kwargs[name] = kwargs.pop(alias)
            plain(self, *args, **kwargs)

        cls.__init__ = __init__  # type: ignore[method-assign,assignment]
        return cls

    return decorate


def misfit(owner: str, fields: Iterable[tuple[str, int]], values: tuple[int, ...]) -> Exception:
    """Say which of `values` does not fit its field, given as name and size in bytes."""
    for (name, size), value in zip(fields, values, strict=True):
        highest = (1 << 8 * size) - 1
        try:
            number = index(value)
        except TypeError:
            return TypeError(f"{owner}.{name} must be an integer, not {type(value).__name__}")
        if not 0 <= number <= highest:
            return ValueError(f"{owner}.{name} must be between 0 and {highest}, got {number}")
    return ValueError(f"the fields of {owner} do not fit")


def _fields(kind: type[Record]) -> list[tuple[str, Field[Any]]]:
    """Return the fields of a dataclass with their names, class variables left out."""
    return [(field.name, field) for field in fields(kind)]


def unfrozen(frozen: type[_ClassT]) -> type[_ClassT]:
    """Return a twin of a frozen class, whose objects become the frozen class's once they are filled.

    A frozen class takes each of its fields in a slow call. Both methods are replaced, because the interpreter
    sets fields by itself only where neither of them is a function of Python's.
    """
    settable = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    members = {"__slots__": (), "__module__": frozen.__module__, **settable}
    return cast("type[_ClassT]", type(frozen.__name__, (frozen,), members))


def filled_directly(cls: type[_ClassT]) -> type[_ClassT]:
    """Give a frozen dataclass a constructor that is as fast as that of one which is not frozen.

    The one of `dataclass` sets each field in a call. This one has the same parameters, and fills the object
    while it is one of the class's unfrozen twin. The class has a `__post_init__`; subclasses keep the other
    constructor.
    """
    plain: Any = cls.__init__
    parameters = list(signature(plain).parameters.values())
    given = [
        ("*, " if own.kind is own.KEYWORD_ONLY is not before.kind else "")
        + (own.name if own.default is own.empty else f"{own.name}=defaults[{own.name!r}]")
        for before, own in pairwise(parameters)
    ]
    names = [own.name for own in parameters[1:]]
    lines = [
        f"def __init__(self, {', '.join(given)}):",
        "    if type(self) is not cls:",
        f"        return plain(self, {', '.join(f'{name}={name}' for name in names)})",
        "    become(self, '__class__', twin)",
        *(f"    self.{name} = {name}" for name in names),
        "    self.__class__ = cls",
        "    self.__post_init__()",
    ]
    space = {
        "become": object.__setattr__,
        "cls": cls,
        "defaults": {own.name: own.default for own in parameters},
        "plain": plain,
        "twin": unfrozen(cls),
    }
    exec("\n".join(lines), space)  # noqa: S102  # as dataclass makes the other one
    cls.__init__ = wraps(plain)(space["__init__"])  # type: ignore[method-assign]
    return cls


class Record:  # noqa: PLW1641  # mutable, unless it is a Value
    """What dataclasses of this package share: `repr` and `==`, which say what `dataclass` would.

    They are here once because methods that `dataclass` makes are compiled at every import, which for some
    dozens of classes takes longer than all the rest. Use it with `repr=False, eq=False`.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __repr__(self) -> str:
        shown = ((name, getattr(self, name)) for name, field in _fields(type(self)) if field.repr)
        return f"{type(self).__qualname__}({', '.join(f'{name}={value!r}' for name, value in shown)})"

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        names = [name for name, field in _fields(type(self)) if field.compare]
        return all(getattr(self, name) == getattr(other, name) for name in names)


class Value(Record):
    """The same for frozen dataclasses, which can be hashed."""

    __slots__ = ()

    __eq__ = Record.__eq__

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name, field in _fields(type(self)) if field.compare))


class Metadata(Record):
    """A fixed layout with `pack()` and `unpack()`.

    Subclasses are mutable dataclasses with slots. Fields that hold an enumeration accept the plain number as
    well and turn it into the member.
    """

    __slots__ = ()

    STRUCT: ClassVar[struct.Struct]
    """The layout, little-endian, reserved fields included."""

    _NAME: ClassVar[str]
    """Name of the layout's table in the native codec."""

    def _to_wire(self) -> tuple[int, ...]:
        """Return the values in the order of `STRUCT`."""
        raise NotImplementedError

    @classmethod
    def _from_wire(cls, values: tuple[int, ...]) -> Self:
        """Build an object from values in the order of `STRUCT` that the native rules have accepted.

        Nothing is checked again; this is the cheap way to an object for bytes that are known to be good.
        """
        raise NotImplementedError

    def pack(self) -> bytes:
        """Return the bytes of the wire.

        Raises:
            ValueError: a number does not fit its field, or a rule of the protocol refuses the values; the
                text names the field and the rule.
            TypeError: a field holds something that is not an integer.

        """
        values = self._to_wire()
        try:
            payload = self.STRUCT.pack(*values)
        except struct.error:
            layout = next(row for row in codec.tables()["layouts"] if row["name"] == self._NAME)
            fields = [(row["name"], row["size"]) for row in layout["fields"]]
            raise misfit(self._NAME, fields, values) from None
        codec.check_metadata(self._NAME, payload)
        return payload

    @classmethod
    def unpack(cls, payload: BytesLike) -> Self:
        """Return the object that `payload`, any bytes-like of exactly the layout's length, describes.

        Raises:
            ValueError: the length is wrong, or a rule of the protocol refuses a value.

        """
        codec.check_metadata(cls._NAME, payload)
        return cls._from_wire(cls.STRUCT.unpack(payload))


class FrameNote(Metadata):
    """A layout that is said about a frame whose id is in the header of its packet."""

    __slots__ = ("_frame_id",)

    _frame_id: int

    @property
    def frame_id(self) -> int:
        """The frame of the packet this arrived in (u32); 0 for none, or when it was not received."""
        return getattr(self, "_frame_id", 0)
