"""torchrun on two hosts, which are network namespaces, trains as one process does.

Skipped without the rights to make network namespaces. It starts PyTorch several times, so it takes some seconds.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from compared_engines import TORCH

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

LONG = 200.0
CLOSEST = 1e-9  # after 200 updates in float64: the sums have another order
SETTINGS = (
    "--hidden-size 6 --batch-size 5 --seq-length 8 --dtype float64 --learning-rate 0.01 "
    "--updates 200 --cell lstm --report-every 1 --sample-length 5 --passage-length 5 "
    "--dropout 0.2 --judge-every 0"
)
FIRST, SECOND = "10.213.77.1", "10.213.77.2"
CLOCK = {"seconds", "characters_per_second"}


def ip(*words) -> None:
    """Run a command that changes the network."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextmanager
def two_hosts():
    """Make two network namespaces with a cable between them; yield their names."""
    names = [f"charloom{os.getpid()}{end}" for end in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        cable = [f"cl{os.getpid() % 10**7}{end}" for end in "ab"]
        ip("link", "add", cable[0], "type", "veth", "peer", "name", cable[1])
        for name, link, address in zip(names, cable, (FIRST, SECOND), strict=True):
            ip("link", "set", link, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", link)
            for device in (link, "lo"):
                ip("-n", name, "link", "set", device, "up")
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespaces: {error}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def launched(namespace: str, node: int, processes: int, *words) -> subprocess.Popen:
    """Start torchrun on a host."""
    options = ["--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", str(processes)]
    options += ["--master-addr", FIRST, "--master-port", "29641", "-m", "--", "charloom"]
    command = [sys.executable, "-m", "torch.distributed.run", *options, *map(str, words)]
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def records(run) -> list[dict]:
    """Return the records of a run, without the fields that depend on the clock."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in CLOCK}
        for line in lines
    ]


def farthest(ours: list[dict], theirs: list[dict]) -> float:
    """Return the largest difference of two numbers, relative to the number."""
    return max(
        abs(a[name] - b[name]) / max(1, abs(b[name]))
        for a, b in zip(ours, theirs, strict=True)
        for name in b
        if isinstance(b[name], float)
    )


def test_two_hosts_train_as_one_process_does(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 60, encoding="utf-8")
    alone, divided = tmp_path / "alone", tmp_path / "divided"
    words = ["train", text, *SETTINGS.split(), "--engine", "torch", "--run"]
    with two_hosts() as (first, second):
        # The second host has two of the three processes, and no run directory.
        hosts = [launched(first, 0, 1, *words, divided), launched(second, 1, 2, *words, "nowhere")]
        outputs = [host.communicate(timeout=LONG)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], outputs
    command = [sys.executable, "-m", "charloom", *map(str, words), str(alone)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONG)
    assert len(records(alone)) == 200
    assert farthest(records(divided), records(alone)) < CLOSEST
    assert "3 processes" in (divided / "events.jsonl").read_text(encoding="utf-8")
    assert not (tmp_path / "nowhere").exists()
