"""A report may have a table of texts by temperature and top-p; the sections of every report stay as they are."""

from pathlib import Path

import pytest

import charloom
import small_runs
from charloom.report import write_report
from charloom.sampling_grid import DEFAULT_AXES, GridAxes
from pages import Page
from report_runs import TITLES, make_run

GRID = "Temperature and nucleus sampling"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("grids") / "run"
    small_runs.train(path)
    return path


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_the_section_comes_only_if_it_is_wanted_after_the_four_of_every_report(
    run: Path, tmp_path: Path
) -> None:
    plain, more = tmp_path / "plain.html", tmp_path / "more.html"
    write_report(run, plain)
    write_report(run, more, grid=DEFAULT_AXES)
    assert read(plain).titles == TITLES
    assert read(more).titles == [*TITLES[:4], GRID, TITLES[4]]
    assert "#grid" not in plain.read_text(encoding="utf-8")


def test_the_section_shows_the_texts_that_the_model_of_the_run_writes(
    run: Path, tmp_path: Path
) -> None:
    page = tmp_path / "more.html"
    write_report(run, page, grid=GridAxes((0.4, 1.1), (0.6, 1.0)))
    grid = charloom.load(run).sample_grid("", 200, [0.4, 1.1], [0.6, 1.0])
    shown = read(page)
    for row in grid.texts:
        for text in row:
            assert text in shown.words
    for heading in ("temperature 0.4", "temperature 1.1", "top-p 0.6", "top-p 1"):
        assert heading in shown.words
    update = small_runs.small_config().epochs * 49
    assert f"The model of update {update} wrote four texts of 200 characters" in shown.words


def test_a_run_without_a_model_has_no_table_and_the_report_says_why(tmp_path: Path) -> None:
    messages: list[str] = []
    page = tmp_path / "page.html"
    write_report(make_run(tmp_path / "run"), page, messages.append, grid=DEFAULT_AXES)
    assert read(page).titles == TITLES
    assert any("The table of texts needs the model of the run." in text for text in messages)
    assert "The table of texts needs the model of the run." in read(page).words


def test_a_damaged_model_leaves_out_the_table(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    small_runs.train(copy)
    for file in copy.glob("checkpoints/*/model.safetensors"):
        file.write_bytes(file.read_bytes()[:-9])
    messages: list[str] = []
    write_report(copy, tmp_path / "page.html", messages.append, grid=DEFAULT_AXES)
    assert any("The table of texts needs the model" in text for text in messages)
