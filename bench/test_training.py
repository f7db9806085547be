"""The work that a build learns from gets through, over every transport."""

from __future__ import annotations

import pytest
import training


def test_every_transport_moves_frames(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.setattr(training, "SIZES", (64,))
    monkeypatch.setattr(training, "LOADS", ((1, 1), (2, 8)))
    monkeypatch.setattr("sys.argv", ["training.py", "--seconds=0.02"])
    training.main()
    told = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in told] == ["tcp", "tcp", "tls", "tls", "quic", "quic"]
    assert all(int(line.split()[-2].replace(",", "")) > 0 for line in told)
