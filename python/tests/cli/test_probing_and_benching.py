"""Measuring a server: both transports before a session, and a load on it."""

import json
import re

import pytest
from PIL import Image


async def test_probe_shows_both_transports_the_choice_and_the_certificate(commands):
    async with commands.serve("app:shout", "--dev-cert") as served:
        code, out, err = await commands.in_thread(
            "probe", "localhost", "--port", served.port, "--dev-cert", "--samples", "3"
        )
    assert (code, err) == (0, "")
    for name in ("QUIC", "TCP"):
        row = rf"^{name} +{served.port} +\d+\.\d ms +\d+\.\d\d ms +\d+\.\d MB/s +3 of 3$"
        assert re.search(row, out, re.MULTILINE), out
    assert re.search(r"A client that probes would pick (QUIC|TCP): its throughput is higher\.", out)
    assert "Certificate over QUIC and TCP" in out
    assert "localhost, 127.0.0.1, ::1" in out


async def test_probe_says_why_a_transport_is_missing(commands):
    async with commands.serve("app:shout", "--dev-cert", "--quic-port", "off") as served:
        options = ("--port", served.port, "--dev-cert", "--samples", "2", "--timeout", "2")
        code, out, _ = await commands.in_thread("probe", "localhost", *options)
        assert code == 0
        assert f"QUIC on port {served.port}: " in out
        assert "would pick TCP: nothing else answered" in out
        code, out, _ = await commands.in_thread("probe", "localhost", *options[:2], "--timeout", "2")
        assert code == 3
        assert "invalid peer certificate" in out
        assert out.endswith("A client could not connect.\n")


async def test_probe_of_plain_tcp(commands):
    async with commands.serve("app:shout", "--plain") as served:
        code, out, _ = await commands.in_thread("probe", "127.0.0.1", "--port", served.port, "--plain")
    assert code == 0
    assert "TCP, plain" in out
    assert "Certificate" not in out
    assert "QUIC" not in out


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_bench_prints_percentiles_and_draws(commands, transport):
    async with commands.serve("app:back", "--dev-cert") as served:
        load = ("--sessions", "2", "--in-flight", "3", "--size", "4K", "--duration", "1", "--warm-up", "0.2")
        code, out, err = await commands.in_thread(
            "bench", served.url, "--dev-cert", "--transport", transport, *load, "--plot", "load.png"
        )
    assert (code, err) == (0, "load.png has the plot\n")
    assert f"over {transport.upper()}: 2 sessions, 3 frames of 4096 bytes in flight each" in out
    names = re.search(r"^latency +(.*)$", out, re.MULTILINE).group(1).split()
    values = re.search(r"^ms +(.*)$", out, re.MULTILINE).group(1).split()
    latency = dict(zip(names, map(float, values), strict=True))
    assert list(latency) == ["p50", "p90", "p95", "p99", "p99.9", "mean", "max"]
    ranked = [latency[name] for name in ("p50", "p90", "p95", "p99", "p99.9", "max")]
    assert ranked == sorted(ranked)
    assert re.search(r"^\d+\.\d frames/s, .* 0 dropped, 0 failed$", out, re.MULTILINE)
    with Image.open(commands.folder / "load.png") as picture:
        assert min(picture.size) > 500


async def test_bench_waits_for_quic_once(commands):
    async with commands.serve("app:back", "--dev-cert", "--quic-port", "off") as served:
        load = ("--sessions", "3", "--duration", "0.2", "--warm-up", "0", "--timeout", "2")
        code, out, err = await commands.in_thread("bench", served.url, "--dev-cert", *load)
    assert code == 0, err
    assert "over TCP: 3 sessions" in out
    assert err.count("QUIC failed: ") == err.count("going on over TCP") == 1


async def test_bench_in_json(commands):
    async with commands.serve("app:back", "--plain") as served:
        code, out, _ = await commands.in_thread(
            "bench", served.url, "--duration", "0.5", "--warm-up", "0", "--json"
        )
    numbers = json.loads(out)
    assert code == 0
    assert (numbers["transport"], numbers["failed"], numbers["dropped"]) == ("TCP", 0, 0)
    assert numbers["answered"] > 0
    assert numbers["frames_per_second"] == pytest.approx(numbers["answered"] / numbers["seconds"])
    assert numbers["latency_ms"]["p50"] > 0


async def test_bench_counts_drops(commands):
    async with commands.serve("app:busy", "--plain") as served:
        code, out, _ = await commands.in_thread("bench", served.url, "--duration", "0.3", "--warm-up", "0")
    assert code == 5
    assert re.search(r"^0\.0 frames/s, .* [1-9]\d* dropped, 0 failed$", out, re.MULTILINE), out
    assert re.search(r"^[1-9]\d* x dropped, SERVER_BUSY$", out, re.MULTILINE), out


async def test_bench_says_what_went_wrong(commands):
    async with commands.serve("app:stuck", "--plain") as served:
        options = ("--duration", "0.5", "--warm-up", "0", "--timeout", "0.1")
        code, _, err = await commands.in_thread("bench", served.url, *options)
        assert code == 1
        assert err.startswith("nnrp bench: no frame was answered: ")
        assert err.count("\n") == 1
        code, _, err = await commands.in_thread("bench", served.url, "--plot", "load.what")
        assert (code, err.count("\n")) == (1, 1)
        assert "--plot cannot write load.what: " in err
    code, _, err = commands.run("bench", served.url)
    assert (code, "Connection refused" in err) == (3, True)
