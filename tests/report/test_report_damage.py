"""The report of a damaged run says what is damaged or lost, and shows the rest."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from charloom.report import write_report
from pages import Page
from report_runs import TITLES, report
from small_runs import resume, train


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was trained to its end, with checkpoints; tests only copy it."""
    path = tmp_path_factory.mktemp("damage") / "run"
    train(path, save_seconds=1e-9, smoothing=0.0)
    return path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the trained run."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def break_line(path: Path) -> None:
    """Put a control character into the first line of a journal."""
    data = path.read_bytes()
    path.write_bytes(data[:3] + b"\x01" + data[4:])


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda run: (run / "checkpoints" / "latest").write_bytes(b""), "latest is damaged"),
        (lambda run: (run / "checkpoints" / "latest").unlink(), "latest is missing"),
        (lambda run: (run / "checkpoints" / "best").write_bytes(b"x"), "best is damaged"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "its checkpoints are missing"),
        (lambda run: next(run.glob("checkpoints/9*/MANIFEST")).unlink(), "missing MANIFEST"),
        (lambda run: break_line(run / "metrics.jsonl"), "metrics.jsonl is damaged: 1 of"),
        (lambda run: break_line(run / "samples.jsonl"), "samples.jsonl is damaged: 1 of"),
        (lambda run: break_line(run / "events.jsonl"), "events.jsonl is damaged: 1 of"),
        (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl is missing"),
        (lambda run: (run / "gradcheck.json").write_bytes(b"{"), "gradcheck.json is not valid"),
    ],
)  # fmt: skip
def test_a_report_is_made_of_what_is_whole_and_says_what_is_not(
    run: Path, harm: Callable[[Path], object], sentence: str
) -> None:
    assert "Damaged:" not in report(run)[1].words
    harm(run)
    sentences: list[str] = []
    html = write_report(run, on_message=sentences.append).read_text(encoding="utf-8")
    assert len(sentences) == 1
    assert sentence in sentences[0]
    page = Page(html)
    assert page.words.count("Damaged:") == 1
    assert sentence in page.words
    assert page.titles == TITLES


def cut(path: Path, size: int = 40) -> None:
    """Keep only the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def half(path: Path) -> None:
    """Keep the first half of a file's lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))


NO_RECORDS = "The report shows no losses."


@pytest.mark.parametrize(
    ("file", "harm", "sentence", "shown"),
    [
        ("metrics.jsonl", cut, "all its records are lost", NO_RECORDS),
        ("samples.jsonl", cut, "all its samples are lost", "The report shows no samples."),
        ("metrics.jsonl", lambda path: path.write_bytes(b"[]\n"), "1 of 1 line cannot", NO_RECORDS),
        ("metrics.jsonl", Path.unlink, "is missing, and had", NO_RECORDS),
        ("metrics.jsonl", half, "its records after update", "remaining records, up to update"),
        ("samples.jsonl", half, "its samples after update", "samples, up to update"),
    ],
)
def test_a_journal_that_lost_its_end_is_told_with_what_is_missing_and_what_is_shown(
    run: Path, file: str, harm: Callable[[Path], object], sentence: str, shown: str
) -> None:
    harm(run / file)
    sentences: list[str] = []
    page = Page(write_report(run, on_message=sentences.append).read_text(encoding="utf-8"))
    assert len(sentences) == 1
    assert sentences[0].startswith(str(run / file))
    assert sentence in sentences[0]
    assert shown in sentences[0]
    assert sentences[0] in page.words


def test_events_that_lost_all_their_lines_are_told(run: Path) -> None:
    cut(run / "events.jsonl")
    sentences: list[str] = []
    page = Page(write_report(run, on_message=sentences.append).read_text(encoding="utf-8"))
    assert len(sentences) == 1
    assert "events.jsonl is damaged: it has no whole line" in sentences[0]
    assert "written by a model of this run; the run does not record which one" in page.words


@pytest.mark.parametrize("harm", [cut, half])
def test_no_figure_of_another_update_stands_in_for_a_record_that_is_lost(
    run: Path, harm: Callable[[Path], object]
) -> None:
    last = records_of(run)[-1]
    assert (
        f"written by the latest model: that of update {last['update']}, with"
        in report(run)[1].words
    )
    harm(run / "metrics.jsonl")
    page = report(run)[1]
    assert (
        f"written by the latest model: that of update {last['update']}. The passage" in page.words
    )
    assert page.words.count(f"smooth loss {last['smooth_loss']:.2f} nats") == 0
    updates = [record["update"] for record in records_of(run)] or [0]
    after = page.words.partition(f"Update {last['update']}")[2]
    assert not any(f"epoch {u}" in after for u in updates)


def records_of(run: Path) -> list[dict[str, Any]]:
    """Return the records of a run that are in complete lines."""
    whole = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    return [json.loads(line) for line in whole if line.endswith(b"\n")]


def test_resuming_a_run_clears_its_report_of_lost_lines(run: Path) -> None:
    half(run / "metrics.jsonl")
    resume(run, allow_older=True)
    sentences: list[str] = []
    write_report(run, on_message=sentences.append)
    assert sentences == []
