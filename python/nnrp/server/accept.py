"""Letting clients in."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

from nnrp._checks import check_kind, check_timeout
from nnrp._logging import about
from nnrp._opening import Opening
from nnrp.adapters._connection import Connection
from nnrp.adapters._listener import Listener
from nnrp.adapters.quic import NnrpQuicConnection, NnrpQuicListener
from nnrp.adapters.tcp import NnrpTcpConnection, NnrpTcpListener
from nnrp.core import ControlExtensionEntry, NnrpPacket
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server._decision import (
    Decided,
    Refused,
    ServerSessionAcceptResolution,
    SessionResolver,
    Terms,
    decide,
)
from nnrp.server._reception import log_refusal, reception_of
from nnrp.server._validation import Admit, Busy
from nnrp.server.context import ClientHelloContext
from nnrp.server.options import ServerOptions
from nnrp.server.profile import ServerProfile, check_profile
from nnrp.server.session import ServerSession

__all__ = [
    "AuthValidator",
    "ServerConnection",
    "ServerListener",
    "ServerSessionAcceptResolution",
    "SessionResolver",
    "accept_server_connection",
    "accept_server_session",
]

_log = logging.getLogger("nnrp.server")

_Verdict: TypeAlias = bool | Admit | Busy
_Answer: TypeAlias = _Verdict | Awaitable[_Verdict] | Future[_Verdict]

#: Decides about an auth block: truthy lets the client in, falsy does not. It may return something to await.
#: With a second parameter it also gets the hello, and in it the certificates of the client.
AuthValidator: TypeAlias = Callable[[bytes], _Answer] | Callable[[bytes, ClientHelloContext], _Answer]

ServerListener = NnrpQuicListener | NnrpTcpListener
ServerConnection = NnrpQuicConnection | NnrpTcpConnection

#: Seconds a client has for its hello, and the application for its verdict, unless told otherwise.
_HANDSHAKE_TIMEOUT = 10.0
_U32_MAX = 0xFFFF_FFFF


def _one_of(names: str, first: Any, second: Any, absent: Any) -> Any:
    if first == absent:
        return second
    if second not in (absent, first):
        raise TypeError(f"{names} are two names for one thing and were given different values")
    return first


async def accept_server_session(
    listener_or_connection: ServerListener | ServerConnection | None = None,
    profile: ServerProfile | None = None,
    *,
    model_name: str = "",
    extra_extensions: tuple[ControlExtensionEntry, ...] = (),
    auth_validator: AuthValidator | None = None,
    active_model_name: str = "",
    server_profile: ServerProfile | None = None,
    session_id: int | None = None,
    timeout: float | None = None,
    handshake_timeout: float = _HANDSHAKE_TIMEOUT,
    on_rejected: Literal["continue", "raise"] | None = None,
    session_resolver: SessionResolver | None = None,
    listener: ServerListener | None = None,
    enforce_credit: bool = False,
    expire_frames: bool = False,
    strict_frame_ids: bool = False,
    allow_migration: bool = False,
    options: ServerOptions | None = None,
) -> ServerSession:
    """Wait for a client, shake hands, and return its session.

    On a listener, the handshakes of all waiting clients go on at the same time, and the next one that is
    ready is taken: a client that connects and says nothing delays nobody.

    Args:
        listener_or_connection: where clients come from, or the one connection to shake hands on.
        profile: what to announce; the defaults of :class:`ServerProfile` if ``None``.
        model_name: the model name to tell the client.
        extra_extensions: extensions for the acknowledgement; one of a type the library answers replaces its
            answer.
        auth_validator: decides about the client's auth block, once per connection and for all clients at the
            same time: a slow verdict delays nobody else. One with two parameters also gets the
            :class:`ClientHelloContext`, whose ``peer_certificates`` the client showed. A plain function runs
            on a thread of the package, of which there are 64, a coroutine function on the event loop. A falsy
            verdict or an exception refuses the client; the exception is logged with its traceback, but
            without a text that may quote the auth block. :class:`Admit` lets a client in for a time,
            :class:`Busy` sends it away for one. Without a validator everybody is admitted.
        active_model_name: another name of ``model_name``.
        server_profile: another name of ``profile``.
        session_id: the id to give the session, instead of the one the client asks for.
        timeout: seconds the whole call may take; ``None`` waits for ever.
        handshake_timeout: seconds for a client's hello and the application's decision about it, together;
            the clock of the hello runs only while a call waits here. Defaults to ``timeout`` if only that is
            given.
        on_rejected: whether a refused client ends the call (``"raise"``) or is logged and passed over
            (``"continue"``, the default on a listener and impossible on a connection).
        session_resolver: decides about session id and model name after the validator; may be async.
        listener: another name of the first parameter.
        enforce_credit: whether ``profile.max_concurrent_frames`` is a bound. A frame beyond it, or beyond a
            higher number granted with :meth:`ServerSession.send_flow_update`, is dropped as ``QUEUE_FULL``
            and never seen here. If not, such frames are received like any other.
        expire_frames: whether a frame without an answer is dropped as ``BUDGET_EXCEEDED`` when its
            ``latency_budget_ms`` is over. ``await received.cancelled()`` then returns, results that come
            later are not sent, and a frame nobody has received yet never is.
        strict_frame_ids: whether a frame is refused while another with its id and view has no answer. If not,
            both are received, and the id is over after two answers.
        options: what else to offer; the defaults of :class:`ServerOptions` if ``None``.
        allow_migration: whether a client with an auth block may move its session to another connection of any
            listener of this process that allows it, too. It passes the validator again, and the auth block
            and certificate have to be those of its handshake. Whoever serves the session does not notice;
            this call goes on waiting.

    Raises:
        TimeoutError: no client came in time.
        NnrpAuthenticationError: the validator refused (connection, or ``on_rejected="raise"``).
        NnrpProtocolError: the handshake broke a rule (likewise).
        NnrpConnectionClosedError: the listener was closed, or the connection ended.
        TypeError: the first argument is neither listener nor connection, a callback cannot be called, or
            arguments contradict each other.
        ValueError: the profile cannot be announced.

    Cancelling loses no client on a listener: one that may in already, or is being decided about, goes to the
    next call with the same callbacks, and a call with other ones asks those anew. A connection is closed.

    """
    source = listener_or_connection if listener_or_connection is not None else listener
    if listener is not None and source is not listener:
        raise TypeError("listener_or_connection and listener are two names for one thing and were given both")
    chosen = _one_of("profile and server_profile", profile, server_profile, None)
    check_timeout(timeout)
    if timeout is not None and handshake_timeout == _HANDSHAKE_TIMEOUT:
        handshake_timeout = max(timeout, 0.0)
    terms = _terms(
        profile=chosen,
        model_name=_one_of("model_name and active_model_name", model_name, active_model_name, ""),
        session_id=session_id,
        extra_extensions=extra_extensions,
        auth_validator=auth_validator,
        session_resolver=session_resolver,
        handshake_timeout=handshake_timeout,
        raises=on_rejected == "raise",
        offer={
            "enforce_credit": enforce_credit,
            "expire_frames": expire_frames,
            "strict_frame_ids": strict_frame_ids,
            "allow_migration": allow_migration,
        },
        options=options,
    )
    if on_rejected not in ("continue", "raise", None):
        raise ValueError(f'on_rejected must be "continue" or "raise", not {on_rejected!r}')
    if isinstance(source, Connection):
        if on_rejected == "continue":
            raise ValueError(
                'on_rejected="continue" needs a listener: there is no other client on a connection'
            )
        return await _accept_connection(source, terms, timeout)
    if not isinstance(source, Listener):
        raise TypeError(f"a listener or a connection is required, not {_named(source)}")
    try:
        async with asyncio.timeout(timeout):
            return await _accept_from(source, terms)
    except TimeoutError:
        raise TimeoutError(f"no client within {timeout:g} s") from None


async def accept_server_connection(
    connection: ServerConnection,
    *,
    first_packet: NnrpPacket | None = None,
    session_id: int | None = None,
    active_model_name: str = "",
    server_profile: ServerProfile | None = None,
    timeout: float = _HANDSHAKE_TIMEOUT,
    session_resolver: SessionResolver | None = None,
    auth_validator: AuthValidator | None = None,
    extra_extensions: tuple[ControlExtensionEntry, ...] = (),
    enforce_credit: bool = False,
    expire_frames: bool = False,
    strict_frame_ids: bool = False,
    allow_migration: bool = False,
    options: ServerOptions | None = None,
) -> ServerSession:
    """Shake hands on an accepted connection whose first packet may have been read already.

    Args:
        connection: the connection.
        first_packet: what was read from it.
        session_id: as for :func:`accept_server_session`, like the rest.
        active_model_name: likewise.
        server_profile: likewise.
        timeout: seconds for the whole handshake.
        session_resolver: likewise.
        auth_validator: likewise.
        extra_extensions: likewise.
        enforce_credit: likewise.
        expire_frames: likewise.
        strict_frame_ids: likewise.
        options: likewise.
        allow_migration: likewise. A client that goes on with its session gives no new one: this raises.

    Raises:
        TimeoutError: the client did not finish in time.
        NnrpAuthenticationError: the validator refused.
        NnrpProtocolError: the handshake broke a rule.
        NnrpConnectionClosedError: the connection ended.

    Cancelling closes the connection.

    """
    terms = _terms(
        profile=server_profile,
        model_name=active_model_name,
        session_id=session_id,
        extra_extensions=extra_extensions,
        auth_validator=auth_validator,
        session_resolver=session_resolver,
        handshake_timeout=timeout,
        raises=True,
        offer={
            "enforce_credit": enforce_credit,
            "expire_frames": expire_frames,
            "strict_frame_ids": strict_frame_ids,
            "allow_migration": allow_migration,
        },
        options=options,
    )
    return await _accept_connection(connection, terms, timeout, first_packet)


def _named(source: object) -> str:
    if isinstance(source, Opening):
        return f"{source!r}: open it with `async with … as listener`"
    return type(source).__name__


def _terms(
    *,
    profile: ServerProfile | None,
    model_name: str,
    session_id: int | None,
    extra_extensions: tuple[ControlExtensionEntry, ...],
    auth_validator: AuthValidator | None,
    session_resolver: SessionResolver | None,
    handshake_timeout: float,
    raises: bool,
    offer: dict[str, bool],
    options: ServerOptions | None,
) -> Terms:
    chosen = profile if profile is not None else ServerProfile()
    check_profile(chosen)
    check_kind(options, ServerOptions, "options", "ServerOptions(…)")
    check_timeout(handshake_timeout, "handshake_timeout")
    if session_id is not None and not 0 < session_id <= _U32_MAX:
        raise ValueError(f"session_id must be between 1 and {_U32_MAX}, got {session_id}")
    for name, callback in (("auth_validator", auth_validator), ("session_resolver", session_resolver)):
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} must be callable, not {type(callback).__name__!r}")
    if math.isnan(handshake_timeout):
        raise ValueError("handshake_timeout must be a number of seconds, not nan")
    return Terms(
        chosen,
        {
            **asdict(chosen),
            **asdict(options if options is not None else ServerOptions()),
            **offer,
        },
        model_name,
        session_id,
        tuple(extra_extensions),
        auth_validator,
        session_resolver,
        handshake_timeout,
        raises,
    )


async def _accept_from(source: Listener[Any], terms: Terms) -> ServerSession:
    if terms.auth_validator is None:
        _warn_about_strangers(source)
    reception = reception_of(source)
    while True:
        decided = await reception.next(terms)
        try:
            return decided.admit(terms, source._claim)
        except Refused as refused:
            if terms.raises:
                raise refused.error from refused.error.__cause__
            log_refusal(refused.error, refused.defect)
        except NnrpConnectionClosedError:
            continue  # a client that left


def _warn_about_strangers(source: Listener[Any]) -> None:
    """Say once that a listener others can reach lets everybody in."""
    import ipaddress  # noqa: PLC0415  # for this only, and once

    host, port = source._native.address
    if not source._warned and not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        source._warned = True
        _log.warning(
            "everybody who reaches %s:%d is let in; pass an auth_validator to decide",
            host,
            port,
            extra=about(),
        )


def _admit_here(connection: Connection, decided: Decided) -> ServerSession:
    if decided.migrate():
        raise NnrpProtocolError("the client went on with a session it had")
    return decided.admit(decided.terms, lambda _: connection)


async def _accept_connection(
    connection: Connection, terms: Terms, timeout: float | None, first_packet: NnrpPacket | None = None
) -> ServerSession:
    try:
        async with asyncio.timeout(timeout):
            first = None
            if first_packet is not None:
                first = (first_packet.header.pack(), first_packet.metadata, first_packet.body)
            pending = await connection._native.accept_hello(terms.settings, terms.handshake_timeout, first)
            decided = await decide(pending, terms)
            return _admit_here(connection, decided)
    except Refused as refused:
        raise refused.error from refused.error.__cause__
    except BaseException:
        connection.close()
        raise
