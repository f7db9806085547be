"""Asking the application whether a client may in."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from nnrp.core._base import Value
from nnrp.server._threads import on_thread

if TYPE_CHECKING:
    from nnrp.server.context import ClientHelloContext

__all__ = ["Admit", "Busy", "tokens_equal"]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Admit(Value):
    """What a validator returns instead of ``True`` to let a client in for a limited time.

    Attributes:
        token_ttl: seconds the authentication lasts, at most 49 days; ``None``: as long as the session. The
            client is told (``ack_metadata.token_ttl_ms``). When the time is over its session ends with
            ``AUTH_FAILED``; it may connect again with a fresh auth block.

    """

    token_ttl: float | None = None

    def __post_init__(self) -> None:
        if self.token_ttl is not None and not self.token_ttl > 0:
            raise ValueError(f"token_ttl must be positive, got {self.token_ttl}")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Busy(Value):
    """What a validator or a session resolver returns to send a client away for now (``SERVER_BUSY``).

    It is falsy: a client that is sent away is not let in.

    Attributes:
        retry_after: seconds the client is asked to wait before it tries again.

    """

    retry_after: float = 1.0

    def __post_init__(self) -> None:
        if not self.retry_after >= 0:
            raise ValueError(f"retry_after must be 0 or more, got {self.retry_after}")

    def __bool__(self) -> bool:
        return False


def tokens_equal(auth_block: bytes, token: bytes) -> bool:
    """Whether an auth block is this token, in a time that says nothing about where they differ.

    Only their lengths may show. Comparing secrets with ``==`` lets a client find them out byte by byte.
    """
    import hmac  # noqa: PLC0415  # it loads OpenSSL, for those who use this

    return hmac.compare_digest(auth_block, token)


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


def wants_hello(validator: Callable[..., Any]) -> bool:
    """Return whether ``validator`` has two parameters without a default: auth block and hello."""
    try:
        parameters = inspect.signature(validator).parameters.values()
    except (TypeError, ValueError):
        return False  # a builtin that does not say
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [one for one in parameters if one.kind in positional and one.default is one.empty]
    return len(required) == 2  # noqa: PLR2004  # the two above


class NoThreadError(Exception):
    """Every thread was taken until the client's time was over."""


async def ask(validator: Callable[..., Any], hello: ClientHelloContext, limit: asyncio.Timeout) -> Any:
    """Call ``validator``, inside ``limit``, and return what it says.

    A coroutine function runs here, on the event loop. Any other runs on a thread of the package, so it may
    bridge to the loop and wait; if it returns something to await, that is awaited here. Whatever it raises is
    raised.

    Raises:
        NoThreadError: it was not even called when the limit was reached.

    """
    arguments = (hello.auth_block, hello) if wants_hello(validator) else (hello.auth_block,)
    if inspect.iscoroutinefunction(validator):
        return await validator(*arguments)
    asked = on_thread(functools.partial(contextvars.copy_context().run, validator, *arguments))
    try:
        verdict: Any = await asyncio.wrap_future(asked)
    except asyncio.CancelledError:
        if asked.cancel() and limit.expired():
            raise NoThreadError from None
        raise
    if _is_future(verdict):
        verdict = await asyncio.wrap_future(verdict)
    elif inspect.isawaitable(verdict):
        verdict = await verdict
    return verdict


def _is_future(value: object) -> TypeGuard[concurrent.futures.Future[Any]]:
    return isinstance(value, concurrent.futures.Future)


def same_callback(one: Any, other: Any) -> bool:
    """Whether two callbacks are the same function over the same values.

    Beyond equality, that is two lambdas of one expression that see the same variables, or two partial
    functions of one function: programs write both in accept loops.
    """
    if one is other:
        return True
    if inspect.isfunction(one) and inspect.isfunction(other):
        return (
            one.__code__ is other.__code__
            and one.__defaults__ == other.__defaults__
            and one.__kwdefaults__ == other.__kwdefaults__
            and _captured(one) == _captured(other)
        )
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        return same_callback(one.func, other.func) and (one.args, one.keywords) == (
            other.args,
            other.keywords,
        )
    return bool(one == other)


def _captured(function: Any) -> list[int]:
    """Return what a function sees of the scopes around it, by identity."""
    return [id(_contents(cell)) for cell in function.__closure__ or ()]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet; then only the same variable is the same
        return cell
