"""Counters and spans as Prometheus and OpenTelemetry show them, with their own libraries."""

import asyncio
import urllib.request

import pytest
from frames import STEP, echo, frame
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from nnrp.observe._families import FAMILIES
from nnrp.observe.opentelemetry import FrameTraceIds, current_trace_id, frame_span, observe
from nnrp.observe.prometheus import NnrpCollector
from nnrp.server import accept_server_session


async def one_frame(network, listener):
    """Have one client submit one frame."""
    accepting = asyncio.create_task(accept_server_session(listener, timeout=STEP))
    async with network.dial(listener.port) as client, await accepting as server:
        await client.submit_frame(frame(1))
        await echo(server)
        await client.receive_result(STEP)


async def test_every_counter_has_a_metric_and_every_metric_a_counter(tcp):
    known = [name for family in FAMILIES for name in family.members]
    assert len(known) == len(set(known))
    async with tcp.serve() as listener:
        assert set(known) == set(listener.stats)
        gauges = {name for family in FAMILIES if family.kind == "gauge" for name in family.members}
        assert gauges == listener.stats.gauges
    async with tcp.pair() as (server, client):
        assert set(server.stats) == set(client.stats) < set(known)


def scraped(text):
    """What Prometheus reads out of a page: values by name, source, and the other label if there is one."""
    values = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            values[sample.name, labels.pop("source"), *labels.values()] = sample.value
    return values


async def test_prometheus_scrapes_a_listener(network):
    registry = CollectorRegistry()
    async with network.serve() as listener:
        sources = {"camera": listener}
        registry.register(NnrpCollector(sources))
        with pytest.raises(ValueError, match="Duplicated"):
            registry.register(NnrpCollector(sources))
        server, thread = start_http_server(0, "127.0.0.1", registry)
        await one_frame(network, listener)
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=STEP).read().decode())
        server.shutdown()
        server.server_close()
        thread.join(STEP)
        values = scraped(page)
        assert values["nnrp_clients_total", "camera", "accepted"] == 1
        assert values["nnrp_frames_ended_total", "camera", "delivered"] == 1
        assert values["nnrp_traffic_bytes_total", "camera", "received"] > 80
        assert values["nnrp_clients_pending", "camera"] == 0
        assert values["nnrp_frame_latency_seconds_count", "camera"] == 1
        assert 0 < values["nnrp_frame_latency_seconds_sum", "camera"] < STEP
        buckets = {key[2]: count for key, count in values.items() if key[0].endswith("_seconds_bucket")}
        assert buckets["+Inf"] == buckets["33.554432"] == 1
        assert list(buckets.values()) == sorted(buckets.values())
        sources.clear()
        assert scraped(generate_latest(registry).decode()) == {}


async def test_counters_of_a_listener_never_go_down_while_sessions_come_and_go(tcp):
    registry = CollectorRegistry()
    async with tcp.serve() as listener:
        registry.register(NnrpCollector({"": listener}))

        async def scrape():
            last = {}
            while not over.is_set():
                values = scraped((await asyncio.to_thread(generate_latest, registry)).decode())
                assert all(values[name] >= last.get(name, 0) for name in values if "_total" in name[0])
                last = values

        over = asyncio.Event()
        scraping = asyncio.create_task(scrape())
        for _ in range(40):
            await one_frame(tcp, listener)
        over.set()
        await scraping
        assert listener.stats["frames_delivered"] == 40


async def test_opentelemetry_collects_a_listener(network):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    async with network.serve() as listener:
        observe({"camera": listener}, provider)
        await one_frame(network, listener)
        collected = reader.get_metrics_data().resource_metrics[0].scope_metrics[0]
    provider.shutdown()
    assert collected.scope.name == "nnrp"
    points = {
        (metric.name, *point.attributes.values()): point.value
        for metric in collected.metrics
        for point in metric.data.data_points
    }
    assert points["nnrp.clients", "camera", "accepted"] == 1
    assert points["nnrp.frames_submitted", "camera"] == 1
    assert points["nnrp.traffic", "camera", "sent"] > 80
    assert {metric.name for metric in collected.metrics} == {f"nnrp.{family.name}" for family in FAMILIES}


@pytest.fixture
def spans():
    """A provider of spans, and those that have ended."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(id_generator=FrameTraceIds())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


async def test_a_server_continues_the_trace_of_its_client(network, spans):
    provider, exporter = spans
    tracer = provider.get_tracer("client")
    async with network.pair() as (server, client):
        with tracer.start_as_current_span("submit"):
            await client.submit_frame(frame(5, trace_id=current_trace_id()))
        received = await server.receive_submit(STEP)
        with frame_span(received, tracer_provider=provider):
            await server.send_result(frame_id=5)
            with tracer.start_as_current_span("inference"):
                pass
    submit, inference, answer = exporter.get_finished_spans()
    assert submit.context.trace_id == answer.context.trace_id == inference.context.trace_id
    assert inference.parent.span_id == answer.context.span_id
    assert answer.kind is SpanKind.SERVER
    assert answer.attributes == {
        "nnrp.session_id": server.session_id,
        "nnrp.frame_id": 5,
        "nnrp.view_id": 0,
    }


async def test_a_frame_without_a_trace_stays_in_the_one_of_its_server(tcp, spans):
    provider, exporter = spans
    assert current_trace_id() == 0
    async with tcp.pair() as (server, client):
        await client.submit_frame(frame(1))
        received = await server.receive_submit(STEP)
        with provider.get_tracer("server").start_as_current_span("serving"):
            with frame_span(received, tracer_provider=provider):
                pass
    answer, serving = exporter.get_finished_spans()
    assert answer.parent.span_id == serving.context.span_id
