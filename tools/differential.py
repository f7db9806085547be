"""Compare our codec with the published reference peer over many packets, good and damaged.

Run it with the Python that has our package; ``NNRP_RC2_PYTHON`` names one with ``nnrp-py==1.0.0rc2``::

    python tools/differential.py                        # golden packets and seeded mutations
    python tools/differential.py --corpus fuzz/corpus   # and what fuzzing has found

A packet that both take must mean the same to both. A packet that only one takes must be explained by a rule
(``differentiallib/explained.py``). Anything else is printed and makes the script fail.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from differentiallib import inputs
from differentiallib.explained import OURS_REFUSES, PEER_REFUSES, rule_of

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"
SEED = 20250921
SHOWN = 20
"""Unexplained packets printed in full."""


def ask(interpreter: str, packets: Path, answers: Path) -> subprocess.Popen[bytes]:
    """Start one side."""
    command = [interpreter, str(HERE / "differentiallib" / "worker.py")]
    return subprocess.Popen(command, stdin=packets.open("rb"), stdout=answers.open("wb"))


def explain(ours: dict[str, Any], peers: dict[str, Any]) -> tuple[str, str]:
    """Sort a packet into a heap: what happened, and the reason, empty when there is none."""
    refused, peer_refused = ours.get("refusal"), peers.get("refusal")
    if refused and peer_refused:
        return "both refuse", "agreed"
    if refused:
        rule = rule_of(refused)
        return f"only we refuse: {rule}", OURS_REFUSES.get(rule, "")
    if peer_refused:
        rule = rule_of(ours.get("unread", "without a rule"))
        return f"only the peer refuses: {rule}", PEER_REFUSES.get(rule, "")
    if "unread" in ours:
        return "both take, only the peer shows it", ""
    if same(ours["fields"], peers["fields"]):
        return "both take, all fields equal", "agreed"
    return "both take, fields differ", ""


def same(ours: dict[str, Any], peers: dict[str, Any]) -> bool:
    """Compare everything the peer says; our metadata classes have some names of their own on top."""
    metadata = {name: ours.get("metadata", {}).get(name) for name in peers.get("metadata", {})}
    return ours | {"metadata": metadata} == {"metadata": {}} | peers


def show(raw: str, ours: dict[str, Any], peers: dict[str, Any]) -> None:
    """Print what is needed to look into a difference."""
    sys.stdout.write(f"\nunexplained: {raw}\n")
    if "fields" in ours and "fields" in peers:
        for part in sorted(ours["fields"].keys() | peers["fields"].keys()):
            one, other = ours["fields"].get(part), peers["fields"].get(part)
            if one != other:
                sys.stdout.write(f"  {part}\n    ours: {one}\n    peer: {other}\n")
        return
    for name, side in (("ours", ours), ("peer", peers)):
        sys.stdout.write(f"  {name}: {side.get('refusal') or side.get('unread') or 'takes it'}\n")


def collect(arguments: argparse.Namespace) -> list[bytes]:
    """Gather the packets, each once."""
    valid = list(inputs.golden(VECTORS / "valid.json"))
    valid += [swapped for hello in valid for swapped in inputs.written_order(hello)]
    sources = [
        valid,
        list(inputs.golden(VECTORS / "invalid.json")),
        *(list(inputs.corpus(folder)) for folder in arguments.corpus),
    ]
    packets = dict.fromkeys(raw for source in sources for raw in source)
    # The golden ones count twice: what is damaged already only gets refused by both.
    sources.append(valid)
    packets.update(dict.fromkeys(inputs.mutations(sources, arguments.mutations, Random(arguments.seed))))
    return list(packets)


def compare(packets: list[bytes], peer: str) -> int:
    """Ask both sides and print the heaps; returns how many packets are left without a reason."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = folder / "packets"
        questions.write_text("".join(raw.hex() + "\n" for raw in packets))
        sides = [(sys.executable, folder / "ours"), (peer, folder / "peers")]
        started = [ask(interpreter, questions, answers) for interpreter, answers in sides]
        if max(process.wait() for process in started):
            sys.exit("one side did not get to the end")
        heaps: Counter[tuple[str, str]] = Counter()
        unexplained = 0
        answers = [path.open() for _, path in sides]
        for raw, ours_line, peers_line in zip(packets, *answers, strict=True):
            ours, peers = json.loads(ours_line), json.loads(peers_line)
            heap, reason = explain(ours, peers)
            heaps[heap, reason] += 1
            if not reason:
                unexplained += 1
                if unexplained <= SHOWN:
                    show(raw.hex(), ours, peers)
    sys.stdout.write(f"\n{len(packets)} packets\n")
    for (heap, reason), count in sorted(heaps.items()):
        sys.stdout.write(f"{count:8}  {heap}  {reason or 'NOT EXPLAINED'}\n")
    return unexplained


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description="Compare our codec with the published peer.")
    parser.add_argument("--corpus", type=Path, action="append", default=[], help="folder of fuzz corpora")
    parser.add_argument("--mutations", type=int, default=100_000, help="damaged packets to make")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    peer = os.environ.get("NNRP_RC2_PYTHON")
    if not peer:
        sys.exit("NNRP_RC2_PYTHON has to name a Python with nnrp-py==1.0.0rc2")
    if compare(collect(arguments), peer):
        sys.exit("the codecs differ without a reason, see above")


if __name__ == "__main__":
    main()
