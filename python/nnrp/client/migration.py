"""When to move a session to another transport, and what came of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from nnrp.client.probe import TransportProbeResult
from nnrp.core import NnrpPacket, SessionMigrateAckMetadata, TransportId

if TYPE_CHECKING:
    from nnrp.client.session import ClientSession

from nnrp.core._base import Value

__all__ = [
    "MigrationOutcome",
    "MigrationTriggerMonitor",
    "MigrationTriggerPolicy",
    "MigrationTriggerSnapshot",
    "PathHealthSample",
]


@dataclass(frozen=True, repr=False, eq=False)
class MigrationOutcome(Value):
    """How an attempt to migrate ended.

    Attributes:
        previous_transport_id: the transport the session was on.
        current_transport_id: the transport of the new connection.
        session: the session to go on with.
        ack_packet: the server's answer.
        ack_metadata: its content.

    """

    previous_transport_id: TransportId
    current_transport_id: TransportId
    session: ClientSession
    ack_packet: NnrpPacket
    ack_metadata: SessionMigrateAckMetadata

    @property
    def accepted(self) -> bool:
        """Whether the server accepted the migration."""
        return self.ack_metadata.accept_code == 0

    @property
    def resume_from_frame_id(self) -> int:
        """The lowest frame id that may be submitted on the new connection; 0 for any."""
        return self.ack_metadata.resume_from_frame_id


@dataclass(frozen=True, repr=False, eq=False)
class PathHealthSample(Value):
    """One measurement of a path.

    Attributes:
        round_trip_us: round trip in microseconds.
        effective_throughput_bytes_per_sec: what went through.
        timed_out: whether there was no answer; the numbers then mean nothing.

    """

    round_trip_us: int = 0
    effective_throughput_bytes_per_sec: float = 0.0
    timed_out: bool = False

    def __post_init__(self) -> None:
        """Refuse negative measurements."""
        _require_non_negative("round_trip_us", self.round_trip_us)
        _require_non_negative("effective_throughput_bytes_per_sec", self.effective_throughput_bytes_per_sec)

    @classmethod
    def from_probe_result(cls, result: TransportProbeResult) -> PathHealthSample:
        """Make a sample from one answered transport probe."""
        return cls(result.round_trip_us, result.effective_throughput_bytes_per_sec)


@dataclass(frozen=True, repr=False, eq=False)
class MigrationTriggerPolicy(Value):
    """What counts as a degraded path.

    Attributes:
        window_size: samples that are judged together.
        consecutive_degraded_windows: degraded windows in a row that call for a migration.
        max_timeout_rate: share of timed-out samples, 0.0 to 1.0, above which a window is degraded.
        min_median_throughput_bytes_per_sec: bound on the median throughput, ``None`` for none.
        max_median_round_trip_us: bound on the median round trip in microseconds, ``None`` for none.
        max_jitter_us: bound on the median difference of consecutive round trips, ``None`` for none.

    """

    window_size: int = 4
    consecutive_degraded_windows: int = 2
    max_timeout_rate: float = 0.25
    min_median_throughput_bytes_per_sec: float | None = None
    max_median_round_trip_us: int | None = None
    max_jitter_us: int | None = None

    def __post_init__(self) -> None:
        """Refuse policies that could never be evaluated."""
        for name in ("window_size", "consecutive_degraded_windows"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if not 0.0 <= self.max_timeout_rate <= 1.0:
            raise ValueError("max_timeout_rate must be between 0.0 and 1.0")
        for name in ("min_median_throughput_bytes_per_sec", "max_median_round_trip_us", "max_jitter_us"):
            bound = getattr(self, name)
            if bound is not None:
                _require_non_negative(name, bound)


@dataclass(frozen=True, repr=False, eq=False)
class MigrationTriggerSnapshot(Value):
    """The verdict after one sample.

    Attributes:
        sample_count: samples in the window; it is judged only when full.
        median_round_trip_us: of the samples that did not time out, ``None`` if there is none or the window is
            short.
        median_effective_throughput_bytes_per_sec: likewise.
        jitter_us: median absolute difference of consecutive round trips, likewise.
        timeout_rate: share of samples in the window that timed out.
        degraded_reasons: subset of ``timeout_rate``, ``throughput``, ``round_trip``, ``jitter``, in this
            order.
        consecutive_degraded_windows: how many degraded windows in a row, this one included.
        should_trigger: whether the policy calls for a migration now.

    """

    sample_count: int
    median_round_trip_us: int | None
    median_effective_throughput_bytes_per_sec: float | None
    jitter_us: int | None
    timeout_rate: float
    degraded_reasons: tuple[str, ...]
    consecutive_degraded_windows: int
    should_trigger: bool

    @property
    def is_degraded(self) -> bool:
        """Whether the window broke one of the policy's bounds."""
        return bool(self.degraded_reasons)


@dataclass
class MigrationTriggerMonitor:
    """Judges a path by its recent samples.

    Attributes:
        active_transport_id: the transport being observed.
        policy: what counts as degraded.

    """

    active_transport_id: TransportId
    policy: MigrationTriggerPolicy = field(default_factory=MigrationTriggerPolicy)
    _window: deque[PathHealthSample] = field(init=False, repr=False, compare=False)
    _degraded_in_a_row: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        """Start with an empty window."""
        self._window = deque(maxlen=self.policy.window_size)

    def observe_probe_result(self, result: TransportProbeResult) -> MigrationTriggerSnapshot:
        """Take in one answered probe.

        Raises:
            ValueError: the probe ran over another transport than the one observed.

        """
        if result.transport_id != self.active_transport_id:
            observed, probed = self.active_transport_id.name, result.transport_id.name
            raise ValueError(f"the monitor observes {observed}, the probe ran over {probed}")
        return self.observe(PathHealthSample.from_probe_result(result))

    def observe(self, sample: PathHealthSample) -> MigrationTriggerSnapshot:
        """Take in one sample and judge the window that ends with it."""
        self._window.append(sample)
        timeout_rate = sum(taken.timed_out for taken in self._window) / len(self._window)
        if len(self._window) < self.policy.window_size:
            return MigrationTriggerSnapshot(
                sample_count=len(self._window),
                median_round_trip_us=None,
                median_effective_throughput_bytes_per_sec=None,
                jitter_us=None,
                timeout_rate=timeout_rate,
                degraded_reasons=(),
                consecutive_degraded_windows=0,
                should_trigger=False,
            )
        answered = [taken for taken in self._window if not taken.timed_out]
        round_trips = [taken.round_trip_us for taken in answered]
        steps = [abs(after - before) for before, after in pairwise(round_trips)]
        round_trip = int(median(round_trips)) if round_trips else None
        jitter = int(median(steps)) if steps else None
        throughput = (
            float(median(taken.effective_throughput_bytes_per_sec for taken in answered))
            if answered
            else None
        )
        reasons = self._reasons(timeout_rate, throughput, round_trip, jitter)
        self._degraded_in_a_row = self._degraded_in_a_row + 1 if reasons else 0
        return MigrationTriggerSnapshot(
            sample_count=len(self._window),
            median_round_trip_us=round_trip,
            median_effective_throughput_bytes_per_sec=throughput,
            jitter_us=jitter,
            timeout_rate=timeout_rate,
            degraded_reasons=reasons,
            consecutive_degraded_windows=self._degraded_in_a_row,
            should_trigger=self._degraded_in_a_row >= self.policy.consecutive_degraded_windows,
        )

    def _reasons(
        self, timeout_rate: float, throughput: float | None, round_trip: int | None, jitter: int | None
    ) -> tuple[str, ...]:
        policy = self.policy
        broken = {
            "timeout_rate": timeout_rate > policy.max_timeout_rate,
            "throughput": _below(throughput, policy.min_median_throughput_bytes_per_sec),
            "round_trip": _above(round_trip, policy.max_median_round_trip_us),
            "jitter": _above(jitter, policy.max_jitter_us),
        }
        return tuple(name for name, is_broken in broken.items() if is_broken)


def _below(value: float | None, bound: float | None) -> bool:
    return value is not None and bound is not None and value < bound


def _above(value: float | None, bound: float | None) -> bool:
    return value is not None and bound is not None and value > bound


def _require_non_negative(name: str, value: float) -> None:
    if value < 0:
        raise ValueError(f"{name} must be non-negative")
