"""Does training steps in several processes together, so that a benchmark can time them.

Processes follow only one leader, so each number of processes has a leading process of its own (`leading_process`).
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO, Final

from charloom.bench.interleaved import Work
from charloom.bench.workloads import Workload
from charloom.errors import EngineError

LEADER: Final = "charloom.bench.leading_process"


@contextmanager
def led_processes(workload: Workload, size: int) -> Iterator[Work]:
    """Start processes, and yield a function of n that does n training steps in `size` of them, with a thread each.

    They all end with the `with` block.

    Raises:
        EngineError: a process ended; the function raises it too.
    """
    words = [sys.executable, "-P", "-m", LEADER, json.dumps(asdict(workload)), str(size)]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as leader:
        assert leader.stdin is not None
        assert leader.stdout is not None
        try:
            yield lambda count: do_steps(leader.stdin, leader.stdout, count)
        finally:
            leader.stdin.close()  # it then ends, with the others


def do_steps(asked: IO[str] | None, answers: IO[str] | None, count: int) -> None:
    """Let the leader with these pipes do `count` steps."""
    assert asked is not None
    assert answers is not None
    try:
        asked.write(f"{count}\n")
        asked.flush()
        answer = answers.readline()
    except OSError:
        answer = ""
    if not answer:
        raise EngineError("a training process of the benchmark ended.")
