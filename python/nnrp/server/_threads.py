"""Threads for functions of the application that may block."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

_Job: TypeAlias = tuple["Future[Any]", list["Callable[[], Any]"]]
"""Where the outcome goes, and the call, which is gone when nobody waits for it any more."""

#: Threads at once: as many questions as a database or an identity provider likes to be asked by one process.
#: Further ones wait, on their client's time.
MAX_THREADS = 64

#: A thread without work goes after this many seconds.
_IDLE_SECONDS = 10.0


class Threads:
    """At most ``limit`` threads, made when they are needed.

    They are daemons: a function that never returns holds up neither the others nor the interpreter's exit.
    """

    def __init__(self, limit: int, name: str = "nnrp-validator") -> None:
        self._limit = limit
        self._name = name
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._count = 0
        #: Threads that wait for a job nobody has promised them yet.
        self._idle = 0

    def run(self, call: Callable[[], Any]) -> Future[Any]:
        """Call ``call`` on a thread, as soon as one is free, and not at all once the future is cancelled."""
        outcome: Future[Any] = Future()
        job = [call]
        # What waits for a thread keeps its client's hello alive; when nobody waits for it, it keeps nothing.
        outcome.add_done_callback(lambda _: job.clear())
        with self._lock:
            self._jobs.put((outcome, job))
            if self._idle:
                self._idle -= 1
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return outcome

    def _work(self) -> None:
        while (job := self._next()) is not None:
            outcome, calls = job
            if outcome.set_running_or_notify_cancel():
                call = calls.pop()
                try:
                    outcome.set_result(call())
                except Exception as error:  # noqa: BLE001  # whoever waits gets it
                    outcome.set_exception(error)
                except BaseException as error:  # noqa: BLE001  # meant for the thread it was raised on, this one
                    wrapped = RuntimeError(f"{type(error).__name__} was raised")
                    wrapped.__cause__ = error
                    outcome.set_exception(wrapped)
                # An idle thread must keep nothing alive.
                del call
            del job, outcome, calls

    def _next(self) -> _Job | None:
        with self._lock:
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                self._idle += 1
        while True:
            try:
                return self._jobs.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        self._count -= 1
                        return None
                # A job was promised to this thread between the two lines.


_threads = Threads(MAX_THREADS)


def on_thread(call: Callable[[], Any]) -> Future[Any]:
    """Call ``call`` on one of the package's :data:`MAX_THREADS` threads."""
    return _threads.run(call)


def _start_anew() -> None:
    """Forget the threads of the parent process: a forked child has none of them."""
    global _threads  # noqa: PLW0603  # one for the process
    _threads = Threads(MAX_THREADS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
