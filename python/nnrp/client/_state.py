"""What a client session keeps beside its public fields."""

from __future__ import annotations

import asyncio
import threading

from nnrp import _native


class Gate:
    """Open or closed; tasks wait while it is closed."""

    __slots__ = ("_lock", "_waiting", "is_open")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: Whether nobody has to wait. For others to read.
        self.is_open = True
        self._waiting: list[asyncio.Future[None]] = []

    def close(self) -> None:
        """Make tasks wait."""
        with self._lock:
            self.is_open = False

    def open(self) -> None:
        """Let all tasks through."""
        with self._lock:
            self.is_open = True
            waiting, self._waiting = self._waiting, []
        for future in waiting:
            loop = future.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_release, future)

    async def pass_alone(self) -> None:
        """Close the gate behind oneself, once it is open. Cancel-safe."""
        while True:
            with self._lock:
                if self.is_open:
                    self.is_open = False
                    return
            await self.wait()

    async def wait(self) -> None:
        """Return when the gate is open. Cancel-safe."""
        while not self.is_open:
            with self._lock:
                if self.is_open:
                    return
                future = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
            await future


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class ClientState:
    """What a client session keeps on its connection, beyond its public fields."""

    __slots__ = (
        "_last_submitted",
        "_resume_from",
        "default_budget_ms",
        "gate",
        "installing",
        "native",
        "patches_unanswered",
        "patching",
    )

    def __init__(self, native: _native.ClientSession, default_budget_ms: int) -> None:
        self.native = native
        self.default_budget_ms = default_budget_ms
        self.gate = Gate()
        #: Closed while an object waits for its acknowledgement, which the next one must not take for its own.
        self.installing = Gate()
        #: Closed while a patch waits for its answer.
        self.patching = Gate()
        self.patches_unanswered = 0
        #: Frame ids after a migration: the lowest, and the last one. ``None`` before one.
        self._resume_from: int | None = None
        self._last_submitted: int | None = None

    def moved(self, resume_from: int) -> None:
        """Take note of a migration: from now on frame ids only grow."""
        self._resume_from = resume_from
        self._last_submitted = None

    def check_frame_id(self, frame_id: int) -> None:
        """Raise ``ValueError`` for a frame id that a migration has closed."""
        if self._resume_from is None:
            return
        if frame_id < self._resume_from:
            raise ValueError(
                f"current migration resume_from_frame_id requires frame_id >= {self._resume_from}, "
                f"got {frame_id}"
            )
        if self._last_submitted is not None and frame_id <= self._last_submitted:
            raise ValueError(
                "current migrated session frame_id must be strictly increasing: "
                f"{frame_id} <= {self._last_submitted}"
            )
        self._last_submitted = frame_id


def client_state(connection: object) -> ClientState:
    """Return the state of the client session on ``connection``.

    Raises:
        TypeError: there is no client session on it.

    """
    # Asked for every frame. Only connections of this package have one.
    state = getattr(connection, "_session", None)
    if type(state) is not ClientState:
        raise TypeError("a connection with a client session is required; use connect_client_session")
    return state
