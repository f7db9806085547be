"""A link between two network namespaces: so many bits per second, a queue, a distance, and loss.

``python bench/simulated_link.py [--loss 0.01]`` makes both ends and prints one line of JSON with the path of
each end's namespace, for ``nsenter --net=PATH``, and its address. It needs to be root, ``/dev/net/tun`` and
``ip``. Namespaces, interfaces and processes go when its standard input ends, however that comes about. For
each line it reads there it prints how late, at most, it delivered a packet since the last one: machines stand
still now and then.

What crosses it are the kernel's own TCP and UDP: each end is a TUN interface, whose packets this program
reads at one end and writes at the other when they would have arrived.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import fcntl
import json
import mmap
import os
import random
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import BinaryIO

BITS_PER_SECOND = 200_000_000
#: Of one direction; a round trip is twice that.
DELAY_SECONDS = 0.010
BYTES_PER_SECOND = BITS_PER_SECOND / 8
#: What may wait for the bottleneck: as much as the path itself holds in a round trip (333 packets of full
#: size), the rule of thumb for routers. Whatever comes beyond it is dropped.
QUEUE_BYTES = round(BYTES_PER_SECOND * 2 * DELAY_SECONDS)
#: Of Ethernet.
MTU_BYTES = 1500
#: The same packets get lost in each run, counted from the start of the link.
SEEDS = (20, 26)
#: Documentation's own network (RFC 5737): whatever a host has elsewhere, it is not this.
ADDRESSES = ("192.0.2.1", "192.0.2.2")
INTERFACE = "link0"
#: Packets the kernel holds until this program reads them: a burst of everything in two sockets' buffers, so
#: that the queue above is the only one that overflows.
INTERFACE_QUEUE = 20_000

#: Packets are looked for, and delivered, this often while there are any. Their times are as exact as this.
TICK_SECONDS = 0.000_25
#: Read before those that are due are delivered.
BATCH = 64
#: Waits for packets while there are none.
IDLE_SECONDS = 3600.0

# <linux/if_tun.h>, <linux/sched.h>
TUNSETIFF = 0x4004_54CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
CLONE_NEWNET = 0x4000_0000


def new_end(address: str) -> tuple[int, int]:
    """Move to a new network namespace with an interface in it; return both as open files."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, f"no network namespace: {os.strerror(code)}")
    interface = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(interface, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
    for command in (
        f"link set {INTERFACE} mtu {MTU_BYTES} txqueuelen {INTERFACE_QUEUE} up",
        f"address add {address}/24 dev {INTERFACE}",
        "link set lo up",
    ):
        subprocess.run(["ip", *command.split()], check=True, capture_output=True, text=True)
    # A connection knows nothing of those before it, as over QUIC.
    with open("/proc/sys/net/ipv4/tcp_no_metrics_save", "w") as setting:  # noqa: PTH123  # one line of a sysctl
        setting.write("1")
    return interface, os.open("/proc/self/ns/net", os.O_RDONLY)


class Direction:
    """One way over the link. ``late[place]`` is how many seconds late it delivered a packet, at most."""

    def __init__(
        self, source: int, target: int, loss: float, seed: int, late: memoryview[float], place: int
    ) -> None:
        self._source, self._target = source, target
        self._late, self._place = late, place
        self._loss = loss
        self._random = random.Random(seed).random  # loss, not secrets
        #: Packets on their way, with the time of their arrival, in order.
        self._flying: collections.deque[tuple[float, bytes]] = collections.deque()
        #: When the bottleneck is through with everything it has.
        self._free_at = 0.0
        self.delivered = self.lost = self.overflowed = 0

    def run(self) -> None:
        """Carry packets for ever."""
        flying = self._flying
        while True:
            wait = flying[0][0] - time.monotonic() if flying else IDLE_SECONDS
            if wait > TICK_SECONDS:
                select.select([self._source], [], [], wait)
            elif wait > 0:
                time.sleep(TICK_SECONDS)
            self._take()
            self._deliver()

    def _take(self) -> None:
        now = time.monotonic()
        for _ in range(BATCH):
            try:
                packet = os.read(self._source, MTU_BYTES)
            except BlockingIOError:
                return
            starts = max(self._free_at, now)
            if (starts - now) * BYTES_PER_SECOND + len(packet) > QUEUE_BYTES:
                self.overflowed += 1
                continue
            self._free_at = starts + len(packet) / BYTES_PER_SECOND
            # It is on the way that packets get lost: they have taken their time at the bottleneck.
            if self._random() < self._loss:
                self.lost += 1
            else:
                self._flying.append((self._free_at + DELAY_SECONDS, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        flying = self._flying
        if flying and now - flying[0][0] > self._late[self._place]:
            self._late[self._place] = now - flying[0][0]
        while flying and flying[0][0] <= now:
            os.write(self._target, flying.popleft()[1])
            self.delivered += 1


def answer(requests: BinaryIO, late: memoryview[float], direction: Direction) -> None:
    """Say how late packets were, as often as somebody asks; then end this process, and say what it did."""
    for _ in requests:
        print(json.dumps({"late_s": max(late)}), flush=True)  # noqa: T201  # the protocol with run.py
        late[0] = late[1] = 0.0
    done = f"delivered {direction.delivered}, lost {direction.lost}, overflowed {direction.overflowed}"
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {done}\n")
    sys.stderr.flush()
    os._exit(0)


def main() -> int:
    """Make the link, say where its ends are, and carry packets until standard input ends."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--loss", type=float, default=0.0, help="share of the packets that get lost, each way"
    )
    loss = parser.parse_args().loss
    # Whoever started this decides when it ends, also after Ctrl-C, which everybody in the terminal hears.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        (near, near_space), (far, far_space) = (new_end(address) for address in ADDRESSES)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", None) or error
        print(json.dumps({"unavailable": str(why).strip()}), flush=True)  # noqa: T201  # the protocol with run.py
        return 1
    here = os.getpid()
    late = memoryview(mmap.mmap(-1, 2 * struct.calcsize("d"))).cast("d")
    # The other process ends when this one does.
    ended, alive = os.pipe()
    # A process for each direction, so that neither waits for the other.
    child = os.fork()
    if child:
        direction, requests = Direction(near, far, loss, SEEDS[0], late, 0), sys.stdin.buffer
    else:
        os.close(alive)
        direction, requests = Direction(far, near, loss, SEEDS[1], late, 1), os.fdopen(ended, "rb")
    threading.Thread(target=answer, args=(requests, late, direction), daemon=True).start()
    # A network does not wait for a processor that others use.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if child:
        spaces = [f"/proc/{here}/fd/{space}" for space in (near_space, far_space)]
        print(json.dumps({"spaces": spaces, "addresses": ADDRESSES}), flush=True)  # noqa: T201  # as above
    direction.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
