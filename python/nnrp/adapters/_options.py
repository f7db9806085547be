"""What configurations of both transports share, and what the native side takes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from nnrp._native import _Connecting, _Listening

CreditPolicy: TypeAlias = Literal["honour", "strict", "fail", "ignore"]


class _Client(Protocol):
    @property
    def max_frame_size(self) -> int | None: ...
    @property
    def keepalive_interval(self) -> float | None: ...
    @property
    def keepalive_timeout(self) -> float | None: ...
    @property
    def credit_policy(self) -> CreditPolicy: ...
    @property
    def credit_timeout(self) -> float | None: ...
    @property
    def max_kept_bytes(self) -> int: ...


class _Server(Protocol):
    @property
    def max_frame_size(self) -> int | None: ...
    @property
    def keepalive_interval(self) -> float | None: ...
    @property
    def handshake_timeout(self) -> float: ...
    @property
    def max_pending_handshakes(self) -> int: ...
    @property
    def busy_retry_after(self) -> float: ...


def one_configuration(config: object, configuration: object) -> object:
    """Return the one configuration that was given, ``None`` for none.

    Raises:
        TypeError: both were given.

    """
    if config is not None and configuration is not None:
        raise TypeError("give the configuration once, as 'config' or as 'configuration'")
    return config if config is not None else configuration


def connecting_options(settings: _Client) -> _Connecting:
    """Return a client's part."""
    return {
        "max_frame_size": settings.max_frame_size,
        "keepalive_interval": settings.keepalive_interval,
        "keepalive_timeout": settings.keepalive_timeout,
        "credit_policy": settings.credit_policy,
        "credit_timeout": settings.credit_timeout,
        "max_kept_bytes": settings.max_kept_bytes,
    }


def listening_options(settings: _Server) -> _Listening:
    """Return a server's part."""
    return {
        "max_frame_size": settings.max_frame_size,
        "keepalive_interval": settings.keepalive_interval,
        "handshake_timeout": settings.handshake_timeout,
        "max_pending_handshakes": settings.max_pending_handshakes,
        "busy_retry_after": settings.busy_retry_after,
    }
