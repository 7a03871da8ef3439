"""Opens hostile models, runs and PyTorch files in every way, and checks that they are only read as data.

A separate process opens them and watches itself: which files it opens, whether it executes anything, and
how much memory it takes. The result must be one of charloom's errors or a model, never another error or an
endless wait. After the list of hostile files, the loader and the reader of texts get mutated bytes
(`reliability.fuzz`); in the long version some of them are guided by coverage.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from reliability import LONG, SHORT, Figures, fuzz
from reliability.hostile_models import VALID, hostile_model_files
from reliability.hostile_runs import (
    AT_GUESSED_NAMES,
    CHECKPOINT,
    GUESSED_TOKEN,
    HOSTILE_RUNS,
    OTHER_RUN,
)
from reliability.process_watch import Watch, memory
from reliability.run_training import reopen

NUMBER = 8
PROMISE = (
    "A model from an untrusted source is only data. Nothing in it is executed, no file beside it is "
    "read or changed, and memory stays below twice its size (four times, if it has n-grams) plus 100 MB. "
    "Any error about it is one of charloom's own."
)

SEED = 8
RANDOM_INPUTS = {SHORT: {"loader": 3_000, "text": 600}, LONG: {"loader": 200_000, "text": 50_000}}
GUIDED_INPUTS = {SHORT: {}, LONG: {"loader": 800_000, "text": 200_000}}
LARGE = {SHORT: 12 << 20, LONG: 128 << 20}  # size of the large hostile files in bytes
TIME_LIMIT = 20  # processor seconds after which opening a file counts as endless
MEMORY_LIMIT = 100 << 20  # bytes of memory in addition to twice or four times the file's size
SECRET = "a secret of the user's, which is in no run"
PRIVATE = ("secret", "precious", OTHER_RUN)

SETTINGS = {
    "recipe": "classic",
    "hidden_size": 5,
    "seq_length": 5,
    "report_every": 5,
    "sample_until": 0,
    "sample_length": 5,
    "passage_length": 10,
    "optimizer": "adam",
}
TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 10
# Runs with changes that a report shows. Other runs get a report only in the long version, as each takes
# a second.
REPORTED = ("passage", "samples", "record", "name", "gradcheck")


def check(scale: str) -> Figures:
    """Open every hostile file in every way, and then random inputs."""
    with tempfile.TemporaryDirectory() as name:
        module = "reliability.untrusted_files"
        command = [sys.executable, "-m", module, name, str(LARGE[scale]), scale]
        done = subprocess.run(command, cwd=fuzz.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or f"ended by {done.returncode}"
    figures: Figures = json.loads(done.stdout)
    for run, how, wanted in (
        (fuzz.by_chance, "random", RANDOM_INPUTS[scale]),
        (fuzz.with_coverage, "guided", GUIDED_INPUTS[scale]),
    ):
        for target, inputs in wanted.items():
            fuzzed = run(target, inputs, SEED)
            figures[f"{how}_{target}_inputs"] = fuzzed.inputs
            figures[f"{how}_{target}_inputs_accepted"] = fuzzed.accepted
    return {**figures, "seed": SEED}


def ways_to_open(path: Path, drawn: bool) -> dict[str, Callable[[], object]]:
    """Return every way to open a path, by name; `drawn` includes the report of a run."""
    import charloom
    from charloom.pytorch_format import read_torch_file
    from charloom.report import write_report
    from charloom.store import load_checkpoint, read_run, write_control

    if not path.is_dir():
        return {"load": lambda: charloom.load(path), "import": lambda: read_torch_file(path)}

    def resume() -> None:
        reopen(path)[0].close()

    ways: dict[str, Callable[[], object]] = {
        "load": lambda: charloom.load(path),
        "load the best": lambda: charloom.load(path, which="best"),
        "load a checkpoint": lambda: load_checkpoint(path / CHECKPOINT),
        "read": lambda: read_run(path),
        "evaluate": lambda: charloom.load(path).evaluate(),
        "report": lambda: write_report(path),
        "control": lambda: write_control(path, "pause"),
        "resume": resume,
    }
    if not drawn:
        del ways["report"]
    return ways


class Opened(NamedTuple):
    """The number of refusals, the number of successes, and the largest memory beyond what the size allows."""

    refused: int
    opened: int
    most_memory: int


def open_all(name: str, path: Path, watch: Watch, size: int, everything: bool) -> Opened:
    """Open one hostile file or run in every way.

    Raises:
        AssertionError: the result was neither one of charloom's errors nor a harmless success.
    """
    from charloom.errors import CharloomError

    refused = opened = most_memory = 0
    drawn = everything or any(part in name for part in REPORTED)
    for how, action in ways_to_open(path, drawn).items():
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before, _ = memory()
        signal.setitimer(signal.ITIMER_PROF, TIME_LIMIT)
        signal.alarm(10 * TIME_LIMIT)
        try:
            with watch.watching():
                action()
            opened += 1
            assert how != "load" or path.is_dir() or name in VALID, f"{name}: was taken for a model"
        except CharloomError as error:
            refused += 1
            assert SECRET not in str(error), f"{name}, {how}: the error shows a secret: {error}"
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(f"{name}, {how}: {error!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        grown = memory()[1] - before
        allowed = (4 if "n-grams" in name else 2) * size
        if how not in ("import", "report", "evaluate"):
            assert grown <= allowed + MEMORY_LIMIT, (
                f"{name}, {how}: took {grown >> 20} MB of memory, and has {size >> 20} MB"
            )
        most_memory = max(most_memory, grown - allowed)
        events, watch.events = watch.events, []
        if how == "report":  # the template of the page is compiled, which is charloom's own
            events = [event for event in events if not event.startswith(("compile", "exec"))]
        assert not events, f"{name}, {how}: {events}"
    return Opened(refused, opened, most_memory)


def raise_timeout(*_: object) -> None:
    """Raise TimeoutError. It handles the signals that limit the time."""
    raise TimeoutError("never ends")


def main(place: Path, size: int, everything: bool = False) -> Figures:
    """Create all hostile files in a folder, open each, and check that no other file was touched.

    Args:
        place: an empty folder.
        size: about the size of the large files in bytes.
        everything: also write a report of every run, not only of those with changes that a report shows.
    """
    signal.signal(signal.SIGPROF, raise_timeout)
    signal.signal(signal.SIGALRM, raise_timeout)
    os.chdir(place)
    write_user_files(place)
    watch = Watch(place, PRIVATE)
    open_once(place / "good")
    other_run = contents(place / OTHER_RUN)
    results = []
    for name, path in cases(place, size):
        case_size = sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())
        results.append(open_all(name, path, watch, case_size, everything))
        assert not (place / "executed").exists(), f"{name}: executed"
        assert (place / "precious").read_text(encoding="utf-8") == "precious", f"{name}: overwrote"
        assert contents(place / OTHER_RUN) == other_run, f"{name}: changed another run"
        require_harmless_pages(name, path)
    return {
        "hostile_files": len(results),
        "refused": sum(result.refused for result in results),
        "opened_without_harm": sum(result.opened for result in results),
        "most_memory_beyond_twice_or_four_times_the_size_MB": round(
            max(0, *(result.most_memory for result in results)) / (1 << 20)
        ),
    }


def write_user_files(place: Path) -> None:
    """Write a good run, a copy of it, and files that no hostile file may read or change."""
    import charloom

    text = place / "book.txt"
    text.write_text(TEXT, encoding="utf-8")
    charloom.train(text, place / "good", updates=5, **SETTINGS)
    (place / "secret").write_text(SECRET, encoding="utf-8")
    (place / "diary").write_text(SECRET, encoding="utf-8")
    (place / "precious").write_text("precious", encoding="utf-8")
    shutil.copytree(place / "good", place / OTHER_RUN)


def cases(place: Path, size: int) -> Iterator[tuple[str, Path]]:
    """Yield the name and the path of each hostile file and run. Each exists only until the next one."""
    model, run = place / "model", place / "run"
    for name, content in hostile_model_files(size):
        model.write_bytes(content)
        del content  # its memory must not count as the loader's
        yield name, model
    model.unlink(missing_ok=True)
    os.mkfifo(model)
    yield "a pipe", model
    model.unlink()
    model.symlink_to("/dev/zero")
    yield "a link to /dev/zero", model
    for name, build in HOSTILE_RUNS.items():
        shutil.copytree(place / "good", run)
        guess = mock.patch("secrets.token_hex", return_value=GUESSED_TOKEN)
        with guess if name == AT_GUESSED_NAMES else contextlib.nullcontext():
            yield name, build(run, size)
        shutil.rmtree(run)


def require_harmless_pages(name: str, path: Path) -> None:
    """Require that the reports in a run show no secret and run no script."""
    for page in path.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert SECRET not in text, f"{name}: the report shows a secret"
        assert "<script>alert" not in text, f"{name}: the report runs a script"


def contents(run: Path) -> dict[Path, bytes]:
    """Return the bytes of every file of a run."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def open_once(run: Path) -> None:
    """Open a good run in every way, so that all late imports are done before the checks."""
    for path in (run, run / CHECKPOINT / "model.safetensors"):
        for action in ways_to_open(path, True).values():
            with contextlib.suppress(Exception):
                action()
    for name in ("control.json", "report.html", "loss.svg", "loss.png"):
        (run / name).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        found = main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] == LONG)
    except AssertionError as error:
        sys.exit(str(error))
    print(json.dumps(found))
