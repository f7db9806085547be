"""Objects that can be awaited as well as entered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from types import TracebackType

_T = TypeVar("_T")


class Opening(Generic[_T]):
    """Something that opens when it is awaited or entered.

    ``value = await opening`` leaves closing to the caller; ``async with opening as value`` closes on exit.
    Nothing happens, and nothing has to be undone, before one of the two.
    """

    __slots__ = ("_leave", "_open", "_value")

    def __init__(self, open_: Callable[[], Awaitable[_T]], leave: Callable[[_T], Awaitable[object]]) -> None:
        self._open = open_
        self._leave = leave

    def __await__(self) -> Generator[Any, None, _T]:
        return self._open().__await__()

    async def __aenter__(self) -> _T:
        self._value = await self._open()
        return self._value

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
