"""Counters for Prometheus, by way of ``prometheus_client``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from math import isinf

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from nnrp._stats import Latency
from nnrp.observe._families import FAMILIES, LATENCY, Family, Source, read, samples

__all__ = ["NnrpCollector"]


class NnrpCollector(Collector):
    """Reads listeners and sessions whenever Prometheus asks.

    Register it once, with what it shall read::

        from prometheus_client import REGISTRY, start_http_server

        REGISTRY.register(NnrpCollector({"camera": listener}))
        start_http_server(9464)

    Prefer listeners: they count for all their sessions, and each source is a time series of its own.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        """Read these sources, each under its name as the label ``source``.

        The mapping is looked at anew each time, so that sources may come and go. A source that goes away
        takes its counters with it.
        """
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Yield one metric for each family of counters. Any thread may call this."""
        stats = read(self._sources)
        for family in FAMILIES:
            metric = _metric(family)
            for labels, value in samples(family, stats):
                metric.add_metric(list(labels.values()), value)
            yield metric
        latencies = _latencies()
        for source, counters in stats.items():
            latencies.add_metric([source], _cumulative(counters.latency), counters.latency.total)
        yield latencies

    def describe(self) -> Iterable[Metric]:
        """Yield the metrics without a value: what the registry wants to know when it is told of this."""
        return (*map(_metric, FAMILIES), _latencies())


def _latencies() -> HistogramMetricFamily:
    name, description = LATENCY
    return HistogramMetricFamily(f"nnrp_{name}_seconds", description, labels=["source"])


def _cumulative(latency: Latency) -> list[tuple[str, int]]:
    """Return the buckets as Prometheus counts them: each holds those before it, too."""
    ends = ["+Inf" if isinf(end) else str(end) for end, _ in latency.buckets]
    return list(zip(ends, accumulate(frames for _, frames in latency.buckets), strict=True))


def _metric(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    labels = ["source", family.label] if family.label else ["source"]
    name = f"nnrp_{family.name}_bytes" if family.unit == "By" else f"nnrp_{family.name}"
    return kind(name, family.description, labels=labels)
