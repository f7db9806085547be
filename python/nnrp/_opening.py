"""Objects that can be awaited as well as entered."""

from __future__ import annotations

import warnings
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

_T = TypeVar("_T")


class Opening(Generic[_T]):
    """Something that opens when it is awaited or entered.

    ``value = await opening`` leaves closing to the caller; ``async with opening as value`` closes on exit.
    Nothing happens, and nothing has to be undone, before one of the two. Like a coroutine it is used once,
    and warns when it goes away unused.
    """

    __slots__ = ("_call", "_leave", "_open", "_used", "_value")

    def __init__(
        self, call: str, open_: Callable[[], Awaitable[_T]], leave: Callable[[_T], Awaitable[object]]
    ) -> None:
        """Make an opening; ``call`` is the name of the function that returns it."""
        self._call = call
        self._open = open_
        self._leave = leave
        self._used = False

    def __repr__(self) -> str:
        return f"<{self._call}(…), {'used' if self._used else 'not awaited yet'}>"

    if not TYPE_CHECKING:  # type checkers are to find the mistake themselves

        def __getattr__(self, name: str) -> object:
            if name in Opening.__slots__:  # it was not initialised
                raise AttributeError(name)
            raise AttributeError(
                f"{self._call}(…) has no attribute {name!r} before it is opened: "
                f"use `await {self._call}(…)` or `async with {self._call}(…) as …`"
            )

        def __enter__(self) -> object:
            raise TypeError(f"write `async with {self._call}(…) as …`, inside a coroutine")

        def __exit__(self, *_: object) -> None:
            """Only for ``with`` to come to ``__enter__``."""

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            warnings.warn(f"{self._call}(…) was never awaited", RuntimeWarning, stacklevel=2, source=self)

    def __await__(self) -> Generator[Any, None, _T]:
        return self._begin().__await__()

    async def __aenter__(self) -> _T:
        self._value = await self._begin()
        return self._value

    def _begin(self) -> Awaitable[_T]:
        if self._used:
            raise RuntimeError(f"{self._call}(…) has been awaited already; call it again for another one")
        self._used = True
        return self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leave(self._value)


class Closing:
    """A close that has begun. Awaiting it waits until it is done; ignoring it is fine."""

    __slots__ = ("_wait",)

    def __init__(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._wait = wait

    def __await__(self) -> Generator[Any, None, None]:
        return self._wait().__await__()
