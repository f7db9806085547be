"""What is compared with what, and how well it should do: same-round ratios of frames per second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True)
class Mode:
    """How many frames are under way, and on which cores."""

    name: str
    text: str
    in_flight: int
    sessions: int = 1
    #: Cores of the server and of the client; ``None`` leaves both to the scheduler.
    cores: tuple[int, int] | None = None


MODES = {
    mode.name: mode
    for mode in (
        Mode("ping1", "ping-pong, both on one core", 1, cores=(0, 0)),
        Mode("ping2", "ping-pong, a core each", 1, cores=(0, 1)),
        Mode("8", "8 in flight", 8),
        Mode("64", "64 in flight", 64),
        Mode("16s", "16 sessions, 8 in flight each", 8, sessions=16),
    )
}
SIZES = (64, 4 * KIB, 64 * KIB, MIB, 8 * MIB)
PING_PONG = {"ping1", "ping2"}
PIPELINED = {"8", "64"}
#: Beyond this a cell is left out: two processes hold it, and draining it takes longer than measuring.
MAX_IN_FLIGHT_BYTES = 512 * MIB

Target = Callable[[int, str], float | None]


def _rust_tcp(size: int, mode: str) -> float | None:
    if size <= 4 * KIB:
        return {"ping1": 0.90, "64": 0.60}.get(mode)
    if size == MIB:
        return 1.10 if mode in PING_PONG else None
    return {64 * KIB: 0.90, 8 * MIB: 0.95}.get(size)


def _python_tcp(size: int, mode: str) -> float | None:
    if size <= 4 * KIB:
        return {"ping1": 0.70, "8": 0.80, "64": 0.50, "16s": 0.60}.get(mode)
    return {64 * KIB: 0.70, MIB: 0.95, 8 * MIB: 0.85}.get(size)


def _python_quic(size: int, mode: str) -> float | None:
    if size >= MIB:
        return 0.95
    if size == 64 * KIB:
        return 0.90
    return 0.55 if mode in PING_PONG else None


def _rc2_quic(size: int, mode: str) -> float | None:
    if size == 64:
        return 14.0
    return 40.0 if size == 64 * KIB and mode in PIPELINED else None


def _always(ratio: float) -> Target:
    return lambda _size, _mode: ratio


def _never(_size: int, _mode: str) -> float | None:
    return None


@dataclass(frozen=True)
class Comparison:
    """A contender, the one it is held against, and the ratio it should reach."""

    family: str
    title: str
    contender: str
    reference: str
    target: Target


COMPARISONS = (
    Comparison("tcp", "Rust, TCP, against the floor", "rust-tcp", "floor-tcp", _rust_tcp),
    Comparison("tls", "Rust, TCP with TLS, against the floor", "rust-tls", "floor-tls", _always(0.92)),
    Comparison("quic", "Rust, QUIC, against the floor", "rust-quic", "floor-quic", _always(1.0)),
    Comparison("python", "Python (uvloop), TCP, against the floor", "uvloop-tcp", "floor-tcp", _python_tcp),
    Comparison("python", "Python (asyncio), TCP, against the floor", "asyncio-tcp", "floor-tcp", _python_tcp),
    Comparison(
        "python-quic", "Python (uvloop), QUIC, against the floor", "uvloop-quic", "floor-quic", _python_quic
    ),
    Comparison(
        "python-quic", "Python (asyncio), QUIC, against the floor", "asyncio-quic", "floor-quic", _python_quic
    ),
    Comparison(
        "rc2", "Python (uvloop), TCP, against nnrp-py 1.0.0rc2", "uvloop-tcp", "rc2-tcp", _always(8.0)
    ),
    Comparison(
        "rc2", "Python (uvloop), QUIC, against nnrp-py 1.0.0rc2", "uvloop-quic", "rc2-quic", _rc2_quic
    ),
    Comparison("grpc", "Python (uvloop), TCP, against grpc.aio", "uvloop-tcp", "grpc", _never),
    Comparison(
        "grpc", "Python server and client, TCP, against grpc.aio", "python-both", "grpc", _always(5.0)
    ),
    Comparison("zmq", "Python (uvloop), TCP, against pyzmq", "uvloop-tcp", "zmq", _never),
    Comparison("zmq", "Python server and client, TCP, against pyzmq", "python-both", "zmq", _always(1.0)),
)
FAMILIES = tuple(dict.fromkeys(comparison.family for comparison in COMPARISONS))


@dataclass(frozen=True)
class CpuTarget:
    """How much CPU a server may use per frame: a multiple of another's, or microseconds."""

    contender: str
    reference: str
    text: str
    applies: Callable[[int, str], bool]
    factor: float | None = None
    microseconds: float | None = None


CPU_TARGETS = (
    CpuTarget("uvloop-tcp", "rust-tcp", "<= 1.5 x Rust", lambda size, _mode: size >= 64 * KIB, factor=1.5),
    CpuTarget("uvloop-quic", "rust-quic", "<= 1.5 x Rust", lambda size, _mode: size >= 64 * KIB, factor=1.5),
    CpuTarget(
        "uvloop-tcp",
        "rust-tcp",
        "<= 6 us",
        lambda size, mode: size == 4 * KIB and mode == "64",
        microseconds=6.0,
    ),
)
