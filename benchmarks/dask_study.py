"""Runs a study on a Dask cluster of four workers on this machine, and kills one of them in the middle.

    python benchmarks/dask_study.py TEXT                  # 2,000 runs
    python benchmarks/dask_study.py TEXT --runs 40

It starts a scheduler and the workers, and stops them. It prints a line of JSON.
"""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from charloom.studies import open_study

WORKERS: Final = 4
START_SECONDS: Final = 120.0


@contextmanager
def local_cluster(folder: Path, workers: int = WORKERS) -> Iterator[tuple[str, list[Any]]]:
    """Start a scheduler and workers as processes; yield the address of the scheduler and the workers."""
    log = folder / "scheduler.log"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with log.open("w") as output:
        started = [dask("scheduler", *options, output=output)]
        try:
            address = awaited_address(log)
            for n in range(workers):
                space = ["--local-directory", str(folder / f"worker-{n}")]
                words = [
                    address,
                    "--nthreads",
                    "1",
                    "--nworkers",
                    "1",
                    "--no-nanny",
                    "--no-dashboard",
                ]
                started.append(dask("worker", *words, *space, output=output))
            yield address, started[1:]
        finally:
            for process in reversed(started):
                process.kill()
                process.wait()


def dask(command: str, *words: str, output: Any) -> subprocess.Popen[bytes]:
    """Start a program of Dask."""
    line = [sys.executable, "-m", "distributed.cli.dask_" + command, *words]
    return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=output, stderr=output)


def awaited_address(log: Path) -> str:
    """Return the address that the scheduler writes into its log."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        found = re.search(r"tcp://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    raise RuntimeError(f"the scheduler does not start: {log.read_text()}")


def run(folder: Path, text: Path, runs: int) -> dict[str, Any]:
    """Run a study on the cluster, kill a worker when a tenth of the runs is done, and count the results."""
    spec, study = folder / "small.toml", folder / "study"
    spec.write_text(
        f"text = {json.dumps(str(text.resolve()))}\nseeds = {runs}\n[settings]\nhidden_size = 8\nupdates = 200\n"
    )
    with local_cluster(folder) as (address, workers):
        command = [sys.executable, "-m", "charloom", "study", str(spec), "--out", str(study)]
        began = time.monotonic()
        with subprocess.Popen([*command, "--on", address], stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and done(study) < max(1, runs // 10):
                time.sleep(0.05)
            before = done(study)
            workers[0].send_signal(signal.SIGKILL)
        seconds = time.monotonic() - began
    made = open_study(study)
    lines = list(made.files.each_result())
    return {
        "measured": "Dask cluster",
        "workers": len(workers),
        "done_before_one_was_killed": before,
        "exit_code": process.returncode,
        "runs": len(made.plan),
        "finished": sum(result.state == "finished" for result in made.results().values()),
        "trained_twice": len(lines) - len({result.key for result in lines}),
        "seconds": round(seconds, 1),
    }


def done(study: Path) -> int:
    """Return the number of results that a study has."""
    return len(open_study(study).results()) if (study / "study.json").exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--runs", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run(Path(folder), given.text, given.runs)))


if __name__ == "__main__":
    main()
