"""Measuring transports before choosing one."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from statistics import median

from nnrp.adapters.quic import (
    NnrpQuicConnection,
    QuicConfiguration,
    connect_quic,
    create_quic_client_configuration,
)
from nnrp.adapters.tcp import NnrpTcpClientConfiguration, NnrpTcpConnection, connect_tcp
from nnrp.core import (
    MessageType,
    TransportId,
    TransportProbeAckMetadata,
    TransportProbeMetadata,
    build_transport_probe_packet,
)
from nnrp.core._base import Value
from nnrp.errors import NnrpTransportError

__all__ = [
    "TransportProbeResult",
    "TransportProbeSelection",
    "TransportProbeSummary",
    "probe_client_transport",
]

#: Probe ids of this process, so that a late answer is never taken for another probe's.
_probe_ids = itertools.count(1)


@dataclass(frozen=True, repr=False, eq=False)
class TransportProbeResult(Value):
    """One answered probe. The time stamps are monotonic and only comparable with those of the same host.

    Attributes:
        transport_id: the transport probed.
        probe_id: the probe's number.
        probe_payload_bytes: size of the probe's body.
        client_send_ts_us: when it was sent, microseconds.
        server_recv_ts_us: when the server received it, on the server's clock.
        ack_recv_ts_us: when the answer arrived.

    """

    transport_id: TransportId
    probe_id: int
    probe_payload_bytes: int
    client_send_ts_us: int
    server_recv_ts_us: int
    ack_recv_ts_us: int

    @property
    def round_trip_us(self) -> int:
        """Time from sending to the answer in microseconds, at least 1."""
        return max(1, self.ack_recv_ts_us - self.client_send_ts_us)

    @property
    def effective_throughput_bytes_per_sec(self) -> float:
        """The probe's body divided by its round trip."""
        return self.probe_payload_bytes * 1_000_000 / self.round_trip_us


@dataclass(frozen=True, repr=False, eq=False)
class TransportProbeSummary(Value):
    """All probes of one transport.

    Attributes:
        transport_id: the transport probed.
        results: the answered probes.
        failure_count: how many were not answered.

    """

    transport_id: TransportId
    results: tuple[TransportProbeResult, ...] = ()
    failure_count: int = 0

    @property
    def success_count(self) -> int:
        """How many probes were answered."""
        return len(self.results)

    @property
    def median_throughput_bytes_per_sec(self) -> float:
        """Median throughput.

        Raises:
            ValueError: no probe was answered.

        """
        return float(median(result.effective_throughput_bytes_per_sec for result in self._answered()))

    @property
    def median_round_trip_us(self) -> int:
        """Median round trip in microseconds, rounded down.

        Raises:
            ValueError: no probe was answered.

        """
        return int(median(result.round_trip_us for result in self._answered()))

    @property
    def representative_result(self) -> TransportProbeResult | None:
        """The probe in the middle by round trip, ``None`` if none was answered."""
        if not self.results:
            return None
        return sorted(self.results, key=lambda result: result.round_trip_us)[len(self.results) // 2]

    def _answered(self) -> tuple[TransportProbeResult, ...]:
        if not self.results:
            raise ValueError("transport probe summary does not contain successful samples")
        return self.results


@dataclass(frozen=True, repr=False, eq=False)
class TransportProbeSelection(Value):
    """The better of two transports.

    Attributes:
        selected_transport_id: the winner.
        quic_summary: QUIC's probes, ``None`` if it was not probed.
        tcp_summary: TCP's probes, ``None`` if it was not probed.
        quic_result: QUIC's representative probe; taken from the summary if not given.
        tcp_result: TCP's representative probe; likewise.

    """

    selected_transport_id: TransportId
    quic_summary: TransportProbeSummary | None = None
    tcp_summary: TransportProbeSummary | None = None
    quic_result: TransportProbeResult | None = field(default=None)
    tcp_result: TransportProbeResult | None = field(default=None)

    def __post_init__(self) -> None:
        """Fill in the representative results."""
        for result, summary in (("quic_result", self.quic_summary), ("tcp_result", self.tcp_summary)):
            if getattr(self, result) is None and summary is not None:
                object.__setattr__(self, result, summary.representative_result)

    @property
    def selected_summary(self) -> TransportProbeSummary:
        """The winner's probes.

        Raises:
            ValueError: they are not part of this selection.

        """
        summary = self.quic_summary if self.selected_transport_id is TransportId.QUIC else self.tcp_summary
        if summary is None:
            raise ValueError("selected transport summary is not available")
        return summary

    @property
    def selected_result(self) -> TransportProbeResult:
        """The winner's representative probe.

        Raises:
            ValueError: it is not part of this selection.

        """
        result = self.quic_result if self.selected_transport_id is TransportId.QUIC else self.tcp_result
        if result is None:
            raise ValueError("selected transport result is not available")
        return result


#: What each part of a rank means, for those who want to know why.
_REASONS = (
    "it answered more probes",
    "its throughput is higher",
    "its round trips are shorter",
    "all else is equal, and QUIC comes first",
)


def _rank(summary: TransportProbeSummary) -> tuple[int, float, int, bool]:
    return (
        summary.success_count,
        summary.median_throughput_bytes_per_sec,
        -summary.median_round_trip_us,
        summary.transport_id is TransportId.QUIC,
    )


def explain_choice(answered: list[TransportProbeSummary]) -> tuple[TransportId, str]:
    """Return which of one or two transports that answered :func:`select_transport` picks, and why."""
    best, *others = sorted(answered, key=_rank, reverse=True)
    if not others:
        return best.transport_id, "nothing else answered"
    differs = (one != other for one, other in zip(_rank(best), _rank(others[0]), strict=True))
    return best.transport_id, next(
        reason for reason, decides in zip(_REASONS, differs, strict=True) if decides
    )


def select_transport(quic: TransportProbeSummary, tcp: TransportProbeSummary) -> TransportProbeSelection:
    """Rank two transports: more answers, then higher median throughput, then lower round trip, then QUIC.

    Raises:
        NnrpTransportError: neither answered a probe.

    """
    answered = [summary for summary in (quic, tcp) if summary.results]
    if not answered:
        raise NnrpTransportError("no transport answered a probe")
    return TransportProbeSelection(max(answered, key=_rank).transport_id, quic, tcp)


async def probe_client_transport(
    host: str,
    *,
    quic_port: int,
    tcp_port: int,
    quic_configuration: QuicConfiguration | None = None,
    tcp_configuration: NnrpTcpClientConfiguration | None = None,
    probe_payload_bytes: int = 32768,
    probe_sample_count: int = 3,
    include_warmup_probe: bool = False,
    timeout: float = 10.0,
) -> TransportProbeSelection:
    """Measure both transports at the same time and pick the better one.

    Args:
        host: the server.
        quic_port: its QUIC port.
        tcp_port: its TCP port.
        quic_configuration: how to connect over QUIC; the default verifies against the platform's roots.
        tcp_configuration: how to connect over TCP.
        probe_payload_bytes: size of a probe's body.
        probe_sample_count: scored probes per transport.
        include_warmup_probe: whether one probe that is not scored comes first.
        timeout: seconds each probe may take, connection included.

    Raises:
        NnrpTransportError: neither transport answered a probe.
        ValueError: there is nothing to measure.

    Cancelling closes the probing connections.

    """
    if probe_sample_count <= 0:
        raise ValueError("probe_sample_count must be greater than zero")
    if probe_payload_bytes < 0:
        raise ValueError("probe_payload_bytes must be non-negative")
    quic_settings = (
        quic_configuration if quic_configuration is not None else create_quic_client_configuration()
    )

    async def probe_quic() -> TransportProbeResult:
        async with connect_quic(host, quic_port, quic_settings, timeout=timeout) as connection:
            return await probe_connection(connection, TransportId.QUIC, probe_payload_bytes)

    async def probe_tcp() -> TransportProbeResult:
        async with connect_tcp(host, tcp_port, tcp_configuration, timeout=timeout) as connection:
            return await probe_connection(connection, TransportId.TCP, probe_payload_bytes)

    async def sample(transport_id: TransportId) -> TransportProbeSummary:
        probe = probe_quic if transport_id is TransportId.QUIC else probe_tcp
        results: list[TransportProbeResult] = []
        failures = 0
        for index in range(probe_sample_count + include_warmup_probe):
            scored = index >= include_warmup_probe
            try:
                async with asyncio.timeout(timeout):
                    result = await probe()
            except (OSError, ValueError, NnrpTransportError):  # TimeoutError is an OSError
                failures += scored
            else:
                results.extend([result] * scored)
        return TransportProbeSummary(transport_id, tuple(results), failures)

    quic, tcp = await asyncio.gather(sample(TransportId.QUIC), sample(TransportId.TCP))
    return select_transport(quic, tcp)


async def probe_connection(
    connection: NnrpQuicConnection | NnrpTcpConnection, transport_id: TransportId, payload_bytes: int
) -> TransportProbeResult:
    """Probe on a raw connection."""
    probe_id = next(_probe_ids)
    sent = time.monotonic_ns() // 1000
    metadata = TransportProbeMetadata(
        probe_id=probe_id, probe_payload_bytes=payload_bytes, client_send_ts_us=sent
    )
    await connection.send_control_packet(
        build_transport_probe_packet(metadata=metadata, body=bytes(payload_bytes))
    )
    while True:
        packet = await connection.receive_control_packet()
        received = time.monotonic_ns() // 1000
        if packet.header.msg_type is MessageType.TRANSPORT_PROBE_ACK:
            ack = TransportProbeAckMetadata.unpack(packet.metadata)
            if ack.probe_id == probe_id:
                break
        elif packet.header.msg_type in (MessageType.ERROR, MessageType.CLOSE):
            raise NnrpTransportError(f"the server answered a probe with {packet.header.msg_type.name}")
    if packet.body:
        raise NnrpTransportError("the server answered a probe with a body")
    return TransportProbeResult(transport_id, probe_id, payload_bytes, sent, ack.server_recv_ts_us, received)
