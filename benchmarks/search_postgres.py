"""Runs a search with pruning on four worker processes over PostgreSQL, and restarts the server in between.

    python benchmarks/search_postgres.py TEXT               # 500 trials
    python benchmarks/search_postgres.py TEXT --trials 40

It installs Debian's package postgresql if it is missing, starts a server in a temporary folder, and stops it. It prints
a line of JSON. The exit code is 1 if a trial is lost.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.postgres_server import PostgresServer, install_postgres
from charloom.studies import Study, open_study

WORKERS: Final = 4
OUTAGE_SECONDS: Final = 2.0  # how long the server is away
SPECIFICATION: Final = """\
text = {text}
[settings]
updates = 200
validation = 0.1
judge_every = 20
judged_characters = 2000
[search]
trials = {trials}
storage = {storage}
hidden_size = {{ low = 4, high = 32, scale = "log" }}
learning_rate = {{ low = 0.001, high = 0.3, scale = "log" }}
cell = ["rnn", "gru", "lstm"]
"""


def run(server: PostgresServer, folder: Path, text: Path, trials: int) -> dict[str, Any]:
    """Run a search, restart the server when a fifth of the trials is done, and count the trials."""
    spec, study = folder / "search.toml", folder / "study"
    spec.write_text(
        SPECIFICATION.format(
            text=json.dumps(str(text.resolve())), trials=trials, storage=json.dumps(server.url)
        )
    )
    command = [sys.executable, "-m", "charloom", "study", str(spec), "--out", str(study)]
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--workers", str(WORKERS)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        while process.poll() is None and ended(study) < max(1, trials // 5):
            time.sleep(0.05)
        before = ended(study)
        server.stop()
        time.sleep(OUTAGE_SECONDS)
        server.start()
        _, messages = process.communicate()
    seconds = time.monotonic() - began
    counted = {
        "measured": "search over PostgreSQL",
        "workers": WORKERS,
        "done_before_the_restart": before,
        "outage_was_noticed": "does not answer" in messages,
        "exit_code": process.returncode,
        "seconds": round(seconds, 1),
    }
    return counted | compared(open_study(study)) if ended(study) else counted


def compared(study: Study) -> dict[str, Any]:
    """Count the trials in the storage and in the journals, and those that differ."""
    from charloom.studies.optuna_trials import OptunaTrials
    from charloom.studies.trial_storage import Patience

    search = study.header.search
    assert search is not None
    steps = (search.interval, search.updates)
    trials = OptunaTrials(search.spec, search.name, study.path, steps, Patience())
    stored = {one.trial: one for one in trials.results()}
    lines = [one for one in study.files.each_result() if one.trial is not None]
    journals = {one.trial: one for one in lines}
    counts = trials.counts()
    return {
        "trials": search.spec.trials,
        "in_the_storage": len(stored),
        "in_the_journals": len(journals),
        "twice_in_the_journals": len(lines) - len(journals),
        "different": sum(stored.get(number) != one for number, one in journals.items()),
        "finished": counts.finished,
        "pruned": counts.pruned,
        "failed": counts.failed,
    }


def is_complete(counted: dict[str, Any]) -> bool:
    """Return True if no trial is lost, and none differs."""
    numbers = {counted.get(name) for name in ("trials", "in_the_storage", "in_the_journals")}
    wrong = counted.get("twice_in_the_journals", 1) + counted.get("different", 1)
    return len(numbers) == 1 and None not in numbers and not wrong


def ended(study: Path) -> int:
    """Return the number of trials whose result is in the journals of a study."""
    if not (study / "study.json").exists():
        return 0
    return sum(path.read_bytes().count(b"\n") for path in (study / "results").glob("*.jsonl"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--trials", type=int, default=500)
    given = parser.parse_args()
    install_postgres()
    with tempfile.TemporaryDirectory() as folder, PostgresServer() as server:
        counted = run(server, Path(folder), given.text, given.trials)
    print(json.dumps(counted))
    sys.exit(0 if is_complete(counted) and counted["exit_code"] in (0, 1) else 1)


if __name__ == "__main__":
    main()
