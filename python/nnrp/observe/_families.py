"""What the counters are called outside, and what they mean. The exporters only translate this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from nnrp._stats import Stats


class Source(Protocol):
    """A listener or a session: whatever has ``stats``."""

    @property
    def stats(self) -> Stats:
        """The counters, and how long frames took, as they are now."""
        ...


@dataclass(frozen=True)
class Family:
    """One metric and the counters that belong to it.

    Attributes:
        name: its name; the exporters add ``nnrp`` and what else is customary.
        description: what it counts.
        kind: whether it may go down.
        members: names in ``stats``, with the value of the label each has.
        label: what sets the members apart; empty if there is one only.
        unit: in the notation of UCUM.

    """

    name: str
    description: str
    kind: Literal["counter", "gauge"]
    members: Mapping[str, str]
    label: str = ""
    unit: str = "1"

    def samples(self, stats: Mapping[str, int]) -> Iterator[tuple[dict[str, str], int]]:
        """Yield labels and value of the counters that ``stats`` has."""
        for name, value in self.members.items():
            if name in stats:
                yield ({self.label: value} if self.label else {}), stats[name]


def _one(name: str, description: str, *, member: str = "", kind: Literal["counter", "gauge"]) -> Family:
    return Family(name, description, kind, {member or name: ""})


FAMILIES: tuple[Family, ...] = (
    _one(
        "clients_pending",
        "Clients that wait to be accepted, or are in their handshake",
        member="pending",
        kind="gauge",
    ),
    _one("connections", "Open connections that were handed out or are in their handshake", kind="gauge"),
    _one("sessions", "Sessions that go on", kind="gauge"),
    Family(
        "clients",
        "Clients by what became of them",
        "counter",
        {
            name: name
            for name in (
                "accepted",
                "migrated",
                "refused_tls",
                "refused_full",
                "refused_timeout",
                "refused_handshake",
                "refused_authentication",
                "refused_busy",
                "refused_draining",
                "refused_other",
                "left",
            )
        },
        label="outcome",
    ),
    Family(
        "packets",
        "Packets on the wire",
        "counter",
        {"packets_received": "received", "packets_sent": "sent"},
        label="direction",
    ),
    Family(
        "traffic",
        "Bytes of those packets",
        "counter",
        {"bytes_received": "received", "bytes_sent": "sent"},
        label="direction",
        unit="By",
    ),
    _one("packets_refused", "Packets that broke a rule", kind="counter"),
    _one("limits_hit", "Packets beyond a limit", kind="counter"),
    _one("control_discarded", "Control packets nobody read in time", kind="counter"),
    _one("frames_submitted", "Frames submitted", kind="counter"),
    Family(
        "frames_ended",
        "Frames by how they ended",
        "counter",
        {"frames_delivered": "delivered", "frames_dropped": "dropped"},
        label="outcome",
    ),
    _one("frames_cancelled", "Live frames given up by the client; they also end", kind="counter"),
    _one("frames_expired", "Frames whose budget ran out; they also end", kind="counter"),
    _one("cancelled_early", "Frames whose cancel came before their submit", kind="counter"),
    _one("cancels_ignored", "Cancels of frames that had ended", kind="counter"),
    _one("ids_reused", "Submits under an id that was live already", kind="counter"),
    _one("beyond_credit", "Submits beyond the credit", kind="counter"),
    _one("submits_held", "Submits that had to wait for credit or the end of a pause", kind="counter"),
    _one("results", "Results, every part of a frame counted", kind="counter"),
    _one("results_late", "Results for frames that were not live", kind="counter"),
    _one("results_unwanted", "Results of frames the client had given up", kind="counter"),
    _one("results_beyond_policy", "Results by a policy their frame did not allow", kind="counter"),
    _one("results_expired", "Results for expired frames, not sent", kind="counter"),
    _one("drops_ignored", "Drops of frames that had ended", kind="counter"),
)


#: What the latencies are called; they are no counter.
LATENCY = (
    "frame_latency",
    "Seconds a frame took until its last result: on a server from its arrival, on a client from its sending",
)


def samples(family: Family, stats: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[dict[str, str], int]]:
    """Yield labels and value of each counter of each source."""
    for source, counters in stats.items():
        for labels, value in family.samples(counters):
            yield {"source": source, **labels}, value


def read(sources: Mapping[str, Source]) -> dict[str, Stats]:
    """Return the counters of all sources as they are now; the mapping may change while this runs."""
    return {name: source.stats for name, source in list(sources.items())}
