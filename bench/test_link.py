"""The simulated link has the distance, the rate and the loss it says. Bounds are wide: machines are busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from suite.link import BITS_PER_SECOND, Link, LinkUnavailableError

#: What runs at the ends.
ECHO = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    end.bind((sys.argv[1], 9))
    print("ready", flush=True)
    while True:
        data, sender = end.recvfrom(2048)
        end.sendto(data, sender)
"""
PINGS = """
import socket, sys, time
address, count = (sys.argv[1], 9), int(sys.argv[2])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)  # it sends all, then looks what came back
    for number in range(count):
        end.sendto(number.to_bytes(4, "big"), address)
        time.sleep(0.001)
    end.settimeout(0.5)
    back = []
    try:
        while True:
            back.append(int.from_bytes(end.recv(2048), "big"))
    except TimeoutError:
        pass
    end.settimeout(2)
    first = time.monotonic()
    end.sendto(b"last", address)
    try:
        end.recv(2048)
        print(len(back), time.monotonic() - first)
    except TimeoutError:
        print(len(back), -1)
"""
SINK = """
import socket, sys, time
with socket.create_server((sys.argv[1], 9)) as listener:
    print("ready", flush=True)
    stream, _ = listener.accept()
    with stream:
        stream.recv(1)
        begin, received = time.monotonic(), 0
        while data := stream.recv(1 << 20):
            received += len(data)
        print(received * 8 / (time.monotonic() - begin))
"""
SOURCE = """
import socket, sys, time
with socket.create_connection((sys.argv[1], 9)) as stream:
    end = time.monotonic() + 2
    while time.monotonic() < end:
        stream.sendall(bytes(1 << 16))
"""


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[Link]:
    try:
        with Link(getattr(request, "param", 0.0)) as link:
            yield link
    except LinkUnavailableError as error:
        pytest.skip(str(error))


def across(link: Link, server: str, client: str, *arguments: str) -> tuple[str, str]:
    """Run a program at each end; return what both printed, the server's after it was ready."""
    address = link.addresses[0]
    command = link.within(0, [sys.executable, "-c", server, address])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            assert serving.stdout.readline() == "ready\n"
            calling = link.within(1, [sys.executable, "-c", client, address, *arguments])
            said = subprocess.run(calling, stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout
            rest = serving.stdout.readline() if server is SINK else ""
        finally:
            serving.kill()
    return rest, said


def test_a_round_trip_takes_its_time_and_nothing_gets_lost(made):
    _, said = across(made, ECHO, PINGS, "300")
    back, seconds = said.split()
    assert int(back) == 300
    assert 0.020 <= float(seconds) < 0.1


@pytest.mark.parametrize("made", [0.1], indirect=True)
def test_packets_get_lost_both_ways(made):
    _, said = across(made, ECHO, PINGS, "1000")
    assert 700 < int(said.split()[0]) < 900  # 810 are expected


def test_no_more_than_its_rate_gets_through(made):
    rate = float(across(made, SINK, SOURCE)[0])
    assert 0.3 * BITS_PER_SECOND < rate < BITS_PER_SECOND


def test_it_says_how_late_it_was(made):
    done = threading.Event()

    def stand_still_now_and_then():
        while not done.wait(0.2):
            os.kill(made.pid, signal.SIGSTOP)
            time.sleep(0.2)
            os.kill(made.pid, signal.SIGCONT)

    standing = threading.Thread(target=stand_still_now_and_then)
    standing.start()
    try:
        across(made, ECHO, PINGS, "1000")
    finally:
        done.set()
        standing.join()
    late = made.late_seconds()
    assert 0.05 < late < 10
    assert made.late_seconds() < late  # since that question


def test_nothing_is_left_of_it():
    try:
        with Link(0.0) as link:
            space = Path(link.spaces[0])
            assert space.exists()
    except LinkUnavailableError as error:
        pytest.skip(str(error))
    assert not space.exists()
