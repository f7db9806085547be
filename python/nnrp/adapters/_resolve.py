"""Host names to addresses, and trying several of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")

#: Head start of one address before the next is tried beside it, in seconds (RFC 8305 recommends 250 ms).
_ATTEMPT_DELAY = 0.25
_LAST_PORT = 0xFFFF


def check_port(port: int, *, lowest: int, name: str = "port") -> None:
    """Raise ``ValueError`` (``TypeError`` for a non-integer) unless ``port`` is one, from ``lowest`` on."""
    if not isinstance(port, int):
        raise TypeError(f"{name} must be an int, not {type(port).__name__!r}")
    if not lowest <= port <= _LAST_PORT:
        raise ValueError(f"{name} must be between {lowest} and {_LAST_PORT}, got {port}")


def no_answer(host: str, port: int, transport: str, timeout: float) -> TimeoutError:
    """Return the error for a server that does not react to a connection attempt over QUIC or TCP."""
    return TimeoutError(
        f"no answer from {host}:{port} over {transport} within {max(timeout, 0):g} s; "
        f"is a {transport} server listening there?"
    )


async def resolve(host: str, port: int, *, kind: socket.SocketKind, passive: bool) -> list[tuple[str, int]]:
    """Return the addresses of ``host``, best first.

    Raises:
        OSError: the name does not resolve.

    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host or None, port, type=kind, flags=socket.AI_PASSIVE if passive else 0
        )
    except socket.gaierror as error:
        # As it comes it names nobody, and a log full of "Name or service not known" helps nobody.
        raise socket.gaierror(error.errno, f"no address for host {host!r}: {error.strerror}") from None
    addresses = [(str(address[0]), int(address[1])) for *_, address in found]
    if not addresses:
        raise OSError(f"{host!r} has no address")
    return list(dict.fromkeys(addresses))


async def first_to_connect(
    addresses: list[tuple[str, int]],
    connect: Callable[[str, int], Awaitable[_T]],
    discard: Callable[[_T], object],
) -> _T:
    """Connect to the first address that answers, starting an attempt every 250 ms or as soon as one fails.

    Attempts that lose are cancelled, or given to ``discard`` if they had succeeded. Raises the first
    address's error if none answers.
    """
    if len(addresses) == 1:
        return await connect(*addresses[0])
    attempts: list[asyncio.Task[_T]] = []

    async def attempt(host: str, port: int) -> _T:
        return await connect(host, port)

    try:
        remaining = iter(addresses)
        while True:
            address = next(remaining, None)
            if address is not None:
                attempts.append(asyncio.create_task(attempt(*address)))
            running = [task for task in attempts if not task.done()]
            if not running:
                return attempts[0].result()
            delay = None if address is None else _ATTEMPT_DELAY
            done, _ = await asyncio.wait(running, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.exception() is None:
                    attempts.remove(task)
                    return task.result()
    finally:
        for task in attempts:
            if not task.cancel() and not task.cancelled() and task.exception() is None:
                discard(task.result())
