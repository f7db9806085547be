"""Deciding about one client: what the application is asked, and what the client is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from nnrp.adapters.quic import NnrpQuicConnection
from nnrp.core import ControlExtensionEntry, ErrorCode, TransportId
from nnrp.core._base import Value
from nnrp.core._enums import ErrorScope
from nnrp.errors import NnrpAuthenticationError, NnrpProtocolError
from nnrp.server._validation import Admit, Busy, NoThreadError, ask, same_callback
from nnrp.server.context import ClientHelloContext, hello_context
from nnrp.server.session import ServerSession

if TYPE_CHECKING:
    from nnrp import _native
    from nnrp.adapters._connection import Connection
    from nnrp.server.profile import ServerProfile


@dataclass(frozen=True, repr=False, eq=False)
class ServerSessionAcceptResolution(Value):
    """What a session resolver decides about an admitted client.

    Attributes:
        session_id: the id of its session (u32, not 0).
        active_model_name: the model name it is told.

    """

    session_id: int
    active_model_name: str = ""


SessionResolver: TypeAlias = Callable[
    [ClientHelloContext],
    ServerSessionAcceptResolution | Busy | Awaitable[ServerSessionAcceptResolution | Busy],
]


@dataclass(frozen=True, repr=False, eq=False)
class Terms(Value):
    """How one call admits clients."""

    profile: ServerProfile
    #: What is offered, as it was at the call, by the names of the native side.
    settings: dict[str, Any]
    model_name: str
    session_id: int | None
    extra_extensions: tuple[ControlExtensionEntry, ...]
    auth_validator: Callable[..., Any] | None
    session_resolver: SessionResolver | None
    handshake_timeout: float
    #: Whether the call ends with a client that is refused.
    raises: bool

    @property
    def asks(self) -> bool:
        """Whether the application has a say."""
        return self.auth_validator is not None or self.session_resolver is not None

    def decide_like(self, other: Terms) -> bool:
        """Whether a decision on the other terms holds on these."""
        return same_callback(self.auth_validator, other.auth_validator) and same_callback(
            self.session_resolver, other.session_resolver
        )


class Refused(Exception):  # noqa: N818  # it never leaves this package
    """A client that was told no; ``error`` is what the caller of a connection-level accept gets."""

    def __init__(self, error: Exception, defect: Exception | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        #: What a callback of the application raised, if that is why.
        self.defect = defect


@dataclass(frozen=True, repr=False, eq=False)
class Decided(Value):
    """A client that may in, and has not been told yet."""

    pending: _native.PendingSession
    hello: ClientHelloContext
    terms: Terms
    token_ttl: float | None = None
    resolution: ServerSessionAcceptResolution | None = None

    def migrate(self) -> bool:
        """Let the client go on with the session it asks for; false if it asks for one of its own.

        Raises:
            Refused: it may not; the client has been told.
            NnrpConnectionClosedError: the client has left.

        """
        if not self.pending.is_migration:
            return False
        try:
            self.pending.migrate()
        except NnrpProtocolError as error:
            raise Refused(error) from error
        return True

    def admit(self, terms: Terms, claim: Callable[[_native.Connection], Connection]) -> ServerSession:
        """Tell the client and return its session; its connection is made public by ``claim``.

        Raises:
            Refused: client and server have nothing in common; the client has been told.
            NnrpConnectionClosedError: the client has left.

        """
        resolution = self.resolution or ServerSessionAcceptResolution(terms.session_id or 0, terms.model_name)
        extensions = [
            (entry.ext_type, int(entry.ext_flags), entry.payload) for entry in terms.extra_extensions
        ]
        try:
            session = self.pending.admit(
                terms.settings,
                resolution.session_id or None,
                resolution.active_model_name,
                extensions,
                self.token_ttl,
            )
        except ValueError as error:
            raise Refused(NnrpProtocolError(str(error), diagnostic=str(error))) from error
        connection = claim(session.connection)
        connection._session = session
        return ServerSession(
            connection=connection,  # type: ignore[arg-type]  # a Connection is one of the two
            transport_id=TransportId.QUIC if isinstance(connection, NnrpQuicConnection) else TransportId.TCP,
            hello=self.hello,
            session_id=session.session_id,
            active_model_name=resolution.active_model_name,
            server_profile=terms.profile,
        )


async def decide(pending: _native.PendingSession, terms: Terms) -> Decided:
    """Ask the application about a client, for as long as the client's handshake timeout lasts.

    Raises:
        Refused: it may not in, and has been told.

    """
    hello = hello_context(pending)
    asking = "the auth_validator"
    try:
        async with asyncio.timeout(pending.time_left) as limit:
            verdict = await _validate(terms, hello, limit)
            asking = "the session_resolver"
            asked_for = not pending.is_migration
            resolution = await _resolve(terms, hello) if verdict and asked_for else None
    except NoThreadError:
        raise _turned_away(pending, Busy(), "no thread was free to ask the auth_validator") from None
    except TimeoutError as error:
        raise _refusal(pending, f"no verdict within {terms.handshake_timeout} s", error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The application cancelled what its own callback waited for.
        raise _refusal(pending, f"{asking} was cancelled", error) from error
    except Exception as error:
        raise _refusal(pending, f"{asking} failed", error, defect=error) from error
    if isinstance(verdict, Busy):
        raise _turned_away(pending, verdict, "the auth_validator is busy")
    if isinstance(resolution, Busy):
        raise _turned_away(pending, resolution, "the session_resolver is busy")
    if not verdict:
        said = "the auth block was not accepted" if hello.auth_block else "no auth block was sent"
        raise _refusal(pending, said, None)
    token_ttl = verdict.token_ttl if isinstance(verdict, Admit) else None
    return Decided(pending, hello, terms, token_ttl, resolution)


async def _validate(terms: Terms, hello: ClientHelloContext, limit: asyncio.Timeout) -> Any:
    if terms.auth_validator is None:
        return True
    return await ask(terms.auth_validator, hello, limit)


async def _resolve(terms: Terms, hello: ClientHelloContext) -> ServerSessionAcceptResolution | Busy | None:
    if terms.session_resolver is None:
        return None
    resolution = terms.session_resolver(hello)
    if not isinstance(resolution, (ServerSessionAcceptResolution, Busy)):
        resolution = await resolution
    return resolution


def _refusal(
    pending: _native.PendingSession, why: str, cause: BaseException | None, *, defect: Exception | None = None
) -> Refused:
    """Tell a client that it is not let in, and say so to the caller."""
    host, port = pending.peer_address
    # Who sent none is told, as it may not know that one is wanted.
    told = "" if pending.auth_block else "; no auth block was sent"
    pending.refuse(ErrorCode.AUTH_FAILED, f"authentication failed{told}")
    error = NnrpAuthenticationError(f"authentication failed for {host}:{port}: {why}", diagnostic=why)
    error.__cause__ = cause
    error._peer = (host, port)  # type: ignore[attr-defined]  # for the log
    return Refused(error, defect)


def _turned_away(pending: _native.PendingSession, busy: Busy, why: str) -> Refused:
    """Tell a client to come back later, and say so to the caller."""
    host, port = pending.peer_address
    pending.turn_away(busy.retry_after)
    error = NnrpProtocolError(
        f"{host}:{port} was sent away for {busy.retry_after:g} s: {why}",
        error_code=ErrorCode.SERVER_BUSY,
        error_scope=ErrorScope.CONNECTION,
        is_fatal=True,
        retry_after_ms=int(busy.retry_after * 1000),
        diagnostic=why,
    )
    error._peer = (host, port)  # type: ignore[attr-defined]  # for the log
    return Refused(error)
