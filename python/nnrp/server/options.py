"""What a server offers besides its profile."""

from __future__ import annotations

from dataclasses import dataclass

from nnrp.core import LossTolerance, PayloadKind

__all__ = ["ServerOptions"]

_U32_MAX = 0xFFFF_FFFF
_U16_MAX = 0xFFFF


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What clients may send and are told, for servers that want it otherwise.

    Codecs, compressions, dtypes and layouts are announced and nothing more: what a frame really carries is
    the application's to judge.

    Attributes:
        answer_probes: whether TRANSPORT_PROBE is answered.
        max_cache_entries: objects held for one client (u32), where the profile enables the cache.
        max_cache_bytes: bytes held for one client (u32).
        payload_kinds: kinds of payload a frame may carry; a frame with another one is refused.
        codecs: bit n is set when codec n is announced (u32).
        compressions: bit n is set when compression n is announced (u32).
        dtypes: bit n is set when dtype n is announced (u32).
        layouts: bit n is set when layout n is announced (u32).
        max_lanes: lanes (views) announced at most (u16).
        max_loss_tolerance: the most loss a session may be granted.
        migration_grace: seconds for which clients go on reading the path that a session has left.
        max_kept_bytes: bytes of results kept of each session that may move (u32), to send them again when a
            path is lost; the newest is kept whatever its size. On TCP they stay as long as the session.

    Raises:
        ValueError: a value is out of its range.

    """

    answer_probes: bool = True
    max_cache_entries: int = 256
    max_cache_bytes: int = 8 * 1024 * 1024
    payload_kinds: PayloadKind = (
        PayloadKind.TENSOR
        | PayloadKind.TOKEN_CHUNK
        | PayloadKind.AUDIO_CHUNK
        | PayloadKind.VIDEO_CHUNK
        | PayloadKind.STRUCTURED_EVENT
        | PayloadKind.TOOL_DELTA
        | PayloadKind.OPAQUE_BYTES
    )
    codecs: int = 0x3
    compressions: int = 0x3
    dtypes: int = 0xFF
    layouts: int = 0x3
    max_lanes: int = _U16_MAX
    max_loss_tolerance: LossTolerance = LossTolerance.FIRE_AND_FORGET
    migration_grace: float = 1.0
    max_kept_bytes: int = 8 * 1024 * 1024

    def __post_init__(self) -> None:
        limits = dict.fromkeys(
            (
                "max_cache_entries",
                "max_cache_bytes",
                "codecs",
                "compressions",
                "dtypes",
                "layouts",
                "max_kept_bytes",
            ),
            _U32_MAX,
        )
        for name, most in {**limits, "max_lanes": _U16_MAX}.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be between 0 and {most}, got {getattr(self, name)}")
        if not self.migration_grace >= 0:
            raise ValueError(f"migration_grace must not be negative, got {self.migration_grace}")
