"""A report is one file with four sections in order. It loads nothing and runs nothing."""

import time
from pathlib import Path

import pytest

from charloom.errors import ConfigError
from charloom.gradient_check import GradientCheck
from charloom.report import write_report
from pages import Page
from report_runs import TITLES, make_run, records, report, write_lines


def test_the_sections_come_in_order_with_their_titles(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks))
    assert page.titles == TITLES


def test_the_report_is_one_file_that_fetches_nothing_and_runs_nothing(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks))
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("#")
    assert len(html) < 500_000


def test_every_id_is_there_once_and_every_link_leads_to_one(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in page.attributes:
        if name == "href":
            assert value.removeprefix("#") in ids


def test_the_page_can_go_elsewhere_and_then_nothing_goes_into_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = sorted(run.iterdir())
    path = write_report(run, tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert Page(path.read_text(encoding="utf-8")).titles == TITLES
    assert sorted(run.iterdir()) == before


def test_a_page_is_no_directory(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="is a directory; give the path of a file"):
        write_report(run, tmp_path)


def test_a_second_report_replaces_the_first_and_leaves_nothing_beside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=records(400), state="training", passage=None)
    write_report(run)
    before = {path.name for path in run.iterdir()}
    write_lines(run / "metrics.jsonl", records(800))
    html, _ = report(run)
    assert "800 of 1,200 updates" in html
    assert {path.name for path in run.iterdir()} == before


def test_the_report_of_a_whole_book_takes_a_second_or_so(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    metrics = [{**record, "update": n} for n, record in enumerate(records(225_000), 1)]
    assert len(metrics) > 4_400
    run = make_run(tmp_path / "run", metrics=metrics, checks=checks)
    start = time.process_time()
    path = write_report(run)
    assert time.process_time() - start < 5  # 0.8 s where nothing else runs
    assert path.stat().st_size < 500_000
    assert (run / "loss.svg").stat().st_size < 200_000
