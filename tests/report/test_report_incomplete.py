"""A report of an unfinished, empty or hand-edited run shows the available data."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from charloom.errors import CharloomError, NotAModelError
from charloom.gradient_check import GradientCheck
from charloom.report import write_report
from report_runs import TITLES, make_run, records, report


@pytest.mark.parametrize("state", ["training", "paused", "interrupted", "stopped", "failed"])
def test_an_unfinished_run_gives_a_report_of_what_there_is(tmp_path: Path, state: str) -> None:
    run = make_run(tmp_path / "a run", metrics=records(600), passage=None, state=state)
    _, page = report(run)
    assert page.titles == TITLES
    assert f"not finished: 600 of 1,200 updates are done (state: {state})" in page.words
    assert f"charloom resume {shlex.quote(str(run))} continues it." in page.words
    assert "There is no long passage yet" in page.words
    assert "The red cross marks the end of an epoch" in page.words


def test_a_run_before_its_first_record_gives_a_report_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=[], samples=[], passage=None, state="training")
    _, page = report(run)
    assert page.titles == TITLES
    assert "There is no record yet" in page.words
    assert "There is no sample yet" in page.words
    assert not (run / "loss.svg").exists()


def test_one_record_is_enough(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=records(1), state="training", passage=None)
    _, page = report(run)
    assert "At update 1 the smooth loss is" in page.words
    assert (run / "loss.svg").exists()


def test_a_finished_run_has_no_notice(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run"))
    assert "not finished" not in page.words


def test_a_record_without_its_numbers_is_left_out(tmp_path: Path) -> None:
    metrics: list[dict[str, Any]] = [
        {"update": 7}, {"update": 8, "epoch": 0.1, "characters": 1, "smooth_loss": None},
    ]  # fmt: skip
    _, page = report(make_run(tmp_path / "run", metrics=metrics + records(400)))
    assert "At update 1 the smooth loss" in page.words


def test_a_path_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        '{"update": 7}', '{"update": "x", "epoch": 1, "characters": 1, "smooth_loss": 1}', "[1]",
        '{"update": 1e400, "epoch": 1, "characters": 1, "smooth_loss": 1}',
        '{"update": 7, "epoch": 1.5, "characters": 1, "smooth_loss": 1, "seconds": "long"}',
        '{"update": 7, "epoch": 1.5, "characters": 1, "smooth_loss": 1, "validation_nats": [2]}',
        '{"update": true, "epoch": null, "characters": 1, "smooth_loss": 1}',
        '{"update": -5, "epoch": -1, "characters": 1, "smooth_loss": 1e14}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["metrics.jsonl", "samples.jsonl", "events.jsonl"])
def test_a_line_that_someone_edited_is_no_traceback(tmp_path: Path, file: str, line: str) -> None:
    run = make_run(tmp_path / "run", metrics=records(100) if file == "metrics.jsonl" else [])
    with (run / file).open("a", encoding="utf-8") as journal:
        journal.write(line + "\n")
    with suppress(CharloomError):
        assert write_report(run).exists()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config.json", '"vocabulary_size":30', '"vocabulary_size":0'),
        ("config.json", '"vocabulary_size":30', '"vocabulary_size":-4'),
        ("config.json", '"characters":10001', '"characters":-1'),
        ("config.json", '"name":"book.txt"', '"name":"\\u001b[31m"'),
        ("config.json", '"cell":"rnn"', '"cell":"cnn"'),
        ("status.json", '"update":0', '"update":"many"'),
        ("status.json", '"state":"finished"', '"state":["x"]'),
        ("gradcheck.json", '"checks":', '"cheques":'),
        ("gradcheck.json", '"curve":[', '"curve":["x",'),
        ("gradcheck.json", '"checked":', '"checked":"all","x":'),
        ("gradcheck.json", '"norm_relative":', '"norm_relative":null,"x":'),
        ("gradcheck.json", '"hidden_size":3', '"hidden_size":"three"'),
    ],
)
def test_a_file_that_someone_edited_is_no_traceback(
    tmp_path: Path, checks: list[GradientCheck], file: str, old: str, new: str
) -> None:
    run = make_run(tmp_path / "run", metrics=[], checks=checks[:1])
    text = (run / file).read_text(encoding="utf-8")
    assert old in text
    (run / file).write_text(text.replace(old, new), encoding="utf-8")
    with suppress(CharloomError):
        assert write_report(run).exists()
