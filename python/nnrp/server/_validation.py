"""Asking the application whether a client may in."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class ApplicationError(Exception):
    """Stands in a log for what an application's callback raised, whose own text may quote the auth block."""


#: Exceptions whose text speaks of names and types in the code; the interpreter writes it without data.
_ABOUT_CODE = (TypeError, NameError, AttributeError, ImportError)


def for_log(error: Exception) -> ApplicationError:
    """Return an exception to log in place of ``error``: with its traceback, without what may be secret.

    Of most exceptions the text is left out, and what they were raised from altogether.
    """
    text = str(error) if type(error) in _ABOUT_CODE else "its text is not logged, it may quote the auth block"
    return ApplicationError(f"{type(error).__name__}: {text}").with_traceback(error.__traceback__)


async def validate(validator: Callable[[bytes], Any], auth_block: bytes) -> bool:
    """Call ``validator`` on a thread of its own and return its verdict.

    The thread is not the event loop's, so a validator may bridge to the loop and wait; and it is a daemon, so
    one that never returns holds up neither other clients nor the interpreter's exit. If the validator returns
    something to await, it is awaited here, on the event loop. Whatever the validator raises is raised.
    """
    if inspect.iscoroutinefunction(validator):
        return bool(await validator(auth_block))
    verdict = await _on_thread(validator, auth_block)
    if isinstance(verdict, concurrent.futures.Future):
        verdict = await asyncio.wrap_future(verdict)
    elif inspect.isawaitable(verdict):
        verdict = await verdict
    return bool(verdict)


def _on_thread(validator: Callable[[bytes], Any], auth_block: bytes) -> Awaitable[Any]:
    outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
    context = contextvars.copy_context()

    def run() -> None:
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            verdict = context.run(validator, auth_block)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it refuses the client
            outcome.set_exception(error)
        else:
            outcome.set_result(verdict)

    threading.Thread(target=run, name="nnrp-validator", daemon=True).start()
    return asyncio.wrap_future(outcome)
