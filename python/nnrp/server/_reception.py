"""Where clients of a listener and the calls that accept them meet."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nnrp._logging import about
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server._decision import Decided, Refused, Terms, decide
from nnrp.server._validation import for_log

if TYPE_CHECKING:
    from typing import Any

    from nnrp import _native
    from nnrp.adapters._listener import Listener

_log = logging.getLogger("nnrp.server")

#: Clients of one listener that are decided about at once: more would only ask the application more than it
#: can answer. Further ones wait for their turn, with their clock stopped.
MAX_DECISIONS = 256


@dataclass(eq=False)
class _Waiter:
    """A call that waits for a client."""

    terms: Terms
    served: asyncio.Future[Decided]
    #: What the call's callbacks see.
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class Reception:
    """What happens at one listener between the hello of a client and the call that gets its session.

    While somebody waits, hellos are taken and decided about, all at the same time. Whoever is decided about
    first goes to the call that has waited longest, of those that would have decided alike. A call that goes
    away leaves its clients to the next: those who may in stay so, and decisions go on, unless the next call
    has other callbacks; then those are asked anew.

    Everything here happens on one event loop.
    """

    def __init__(self, native: _native.Listener) -> None:
        self._native = native
        #: Calls that wait, the longest first.
        self._waiting: deque[_Waiter] = deque()
        #: Clients that may in and that no call of theirs waits for, the first decided first.
        self._ready: deque[Decided] = deque()
        #: What decides about clients, each with its terms. Holding the tasks keeps them alive.
        self._deciding: dict[asyncio.Task[None], Terms] = {}
        #: What takes hellos while a call waits.
        self._taking: asyncio.Task[None] | None = None

    async def next(self, terms: Terms) -> Decided:
        """Return the next client that may in on these terms. Cancel-safe.

        Raises:
            NnrpConnectionClosedError: the listener is closed.
            NnrpProtocolError, TimeoutError: a client was refused, on terms that raise.

        """
        if self._native.is_closed:
            self.close()
        self._leave_to(terms)
        if self._ready:
            return self._ready.popleft()
        waiter = _Waiter(terms, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        if self._taking is None:
            self._taking = asyncio.create_task(self._take(), name="nnrp-reception")
        try:
            return await waiter.served
        except asyncio.CancelledError:
            if waiter.served.done() and not waiter.served.cancelled() and not waiter.served.exception():
                self._hand_over(waiter.served.result())
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            if not self._waiting and self._taking is not None:
                self._taking.cancel()
                self._taking = None

    def close(self) -> None:
        """Turn away whom no call has got: the listener is closed, and lets go of what is put back."""
        for decided in self._ready:
            self._native.put_back(decided.pending)
        self._ready.clear()
        for task in self._deciding:
            task.cancel()

    def _leave_to(self, terms: Terms) -> None:
        """Take back what was decided on other terms than these, and than those of any call that waits."""
        abandoned = [decided for decided in self._ready if not terms.decide_like(decided.terms)]
        for decided in reversed(abandoned):
            self._ready.remove(decided)
            self._native.put_back(decided.pending)
        present = [terms, *(waiter.terms for waiter in self._waiting)]
        for task, theirs in self._deciding.items():
            if not any(known.decide_like(theirs) for known in present):
                task.cancel()  # it puts its client back

    async def _take(self) -> None:
        """Take hellos for as long as a call waits that nobody has been found for."""
        while (first := self._unserved()) is not None:
            if len(self._deciding) >= MAX_DECISIONS:
                await asyncio.wait(self._deciding, return_when=asyncio.FIRST_COMPLETED)
                continue
            terms = first.terms
            try:
                pending = await self._native.accept_hello(terms.settings, terms.handshake_timeout)
            except NnrpConnectionClosedError as closed:
                if self._native.is_closed:
                    self._fail_all(closed)
                    break
                continue  # a client that left
            except (NnrpProtocolError, TimeoutError) as failed:
                self._report(failed, None, None)
                continue
            except Exception as failed:  # noqa: BLE001  # a defect must not leave calls waiting for ever
                self._fail_all(failed)
                break
            first = self._unserved()
            if first is None:
                self._native.put_back(pending)
            else:
                self._begin(pending, first)
        self._taking = None

    def _unserved(self) -> _Waiter | None:
        return next((waiter for waiter in self._waiting if not waiter.served.done()), None)

    def _begin(self, pending: _native.PendingSession, waiter: _Waiter) -> None:
        """Decide about a client on the terms of the call that has waited longest."""
        task = asyncio.get_running_loop().create_task(
            self._decide(pending, waiter.terms), name="nnrp-decision", context=waiter.context.copy()
        )
        self._deciding[task] = waiter.terms

        def done(task: asyncio.Task[None]) -> None:
            del self._deciding[task]
            if task.cancelled():  # before its first step, perhaps
                self._native.put_back(pending)

        task.add_done_callback(done)

    async def _decide(self, pending: _native.PendingSession, terms: Terms) -> None:
        try:
            decided = await decide(pending, terms)
            if decided.migrate():
                return
        except Refused as refused:
            self._report(refused.error, refused.defect, terms)
        except NnrpConnectionClosedError:
            pass  # a client that left
        else:
            self._hand_over(decided)

    def _hand_over(self, decided: Decided) -> None:
        """Serve the call that has waited longest of those that would have decided so."""
        if self._native.is_closed:
            self._native.put_back(decided.pending)  # which lets go of it: nobody will come
            return
        for waiter in self._waiting:
            if not waiter.served.done() and waiter.terms.decide_like(decided.terms):
                waiter.served.set_result(decided)
                return
        self._ready.append(decided)

    def _report(self, error: Exception, defect: Exception | None, terms: Terms | None) -> None:
        """Raise a refusal in a call with these terms that wants to know; log it if there is none."""
        for waiter in self._waiting:
            ours = terms is None or waiter.terms.decide_like(terms)
            if waiter.terms.raises and ours and not waiter.served.done():
                waiter.served.set_exception(error)
                return
        log_refusal(error, defect)

    def _fail_all(self, error: Exception) -> None:
        self.close()
        for waiter in self._waiting:
            if not waiter.served.done():
                waiter.served.set_exception(error)


def log_refusal(error: Exception, defect: Exception | None) -> None:
    """Say that a client was refused; ``defect`` is what a callback raised, if that is why."""
    context = about(peer=getattr(error, "_peer", None))
    if defect is None:
        _log.warning("client refused: %s", error, extra=context)
    else:
        _log.error("client refused: %s", error, exc_info=for_log(defect), extra=context)


class Receptions:
    """The receptions of one listener: one for each event loop that accepts there."""

    def __init__(self, native: _native.Listener) -> None:
        self._native = native
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Reception] = WeakKeyDictionary()

    def here(self) -> Reception:
        """Return the one of the running loop."""
        loop = asyncio.get_running_loop()
        reception = self._by_loop.get(loop)
        if reception is None:
            reception = self._by_loop[loop] = Reception(self._native)
        return reception

    def close(self) -> None:
        """Turn away whom no call has got. Any thread may call this."""
        for loop, reception in list(self._by_loop.items()):
            with contextlib.suppress(RuntimeError):  # a closed loop has cancelled everything already
                loop.call_soon_threadsafe(reception.close)


def reception_of(listener: Listener[Any]) -> Reception:
    """Return what receives the clients of a listener on the running event loop."""
    receptions = listener._receptions
    if not isinstance(receptions, Receptions):
        receptions = listener._receptions = Receptions(listener._native)
    return receptions.here()
