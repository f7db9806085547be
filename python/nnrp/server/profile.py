"""What a server offers its clients."""

from __future__ import annotations

from dataclasses import dataclass

from nnrp._checks import check_kind
from nnrp.core._base import Record

__all__ = ["ServerProfile"]

_U16_MAX = 0xFFFF
_U32_MAX = 0xFFFF_FFFF


@dataclass(slots=True, repr=False, eq=False)
class ServerProfile(Record):
    """Limits a server announces in the handshake, read when the handshake of a connection starts.

    Attributes:
        max_concurrent_frames: frames a client should have in flight at once (u16). Announced, not enforced.
        enable_cache: whether clients that ask for the session cache get one.
        max_sections: tensor sections of one frame (u16). A frame with more is refused.
        max_body_bytes: size of one frame's body in bytes (u32). A larger one is refused without being
            buffered.

    """

    max_concurrent_frames: int = 1
    enable_cache: bool = True
    max_sections: int = 16
    max_body_bytes: int = 33_554_432


def check_profile(profile: ServerProfile) -> None:
    """Raise ``ValueError`` (``TypeError`` for what is no profile) if ``profile`` could not be announced."""
    check_kind(profile, ServerProfile, "profile", "ServerProfile(max_concurrent_frames=…)")
    limits = {
        "max_concurrent_frames": (profile.max_concurrent_frames, _U16_MAX),
        "max_sections": (profile.max_sections, _U16_MAX),
        "max_body_bytes": (profile.max_body_bytes, _U32_MAX),
    }
    for name, (value, largest) in limits.items():
        if not isinstance(value, int):
            raise TypeError(f"ServerProfile.{name} must be an int, not {type(value).__name__}")
        if not 0 <= value <= largest:
            raise ValueError(f"ServerProfile.{name} must be between 0 and {largest}, got {value}")
