"""Twenty seconds of the soak: it works, and it would notice."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))

from soaklib.flat import judge  # noqa: E402  # the tools are programs, not packages

HOUR = [float(second) for second in range(0, 3600, 10)]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the soak reads /proc")
@pytest.mark.timeout(180)
def test_twenty_seconds_of_everything(tmp_path):
    command = [sys.executable, str(TOOLS / "soak.py"), "--seconds", "20", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "soak.json").stat().st_size > 0
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


def test_a_slow_leak_is_noticed_and_a_spike_is_not():
    breathing = [100 + second * 7 % 5 for second in HOUR]
    spikes = [value + 50 * (index % 10 == 0) for index, value in enumerate(breathing)]
    leak = [value + 8 * second / 3600 for second, value in zip(HOUR, spikes, strict=True)]

    def flat(values):
        return judge("memory", list(zip(HOUR, values, strict=True)), warm_up=600.0, allowed=4.0).flat

    assert flat(breathing)
    assert flat(spikes)
    assert not flat(leak)


def test_too_few_samples_say_nothing():
    with pytest.raises(ValueError, match="say nothing"):
        judge("memory", [(0.0, 1.0), (1.0, 1.0)], warm_up=0.5, allowed=1.0)
