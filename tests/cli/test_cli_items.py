"""The command train takes a collection of items, and names a mistake in it in one line."""

import pytest
from typer.testing import CliRunner

from charloom.cli import app
from charloom.cli.escapes import with_escapes


def train(*words):
    """Run the command train on a few items."""
    options = ("--recipe", "classic", "--updates", "3", "--hidden-size", "3", "--run", "run")
    return CliRunner().invoke(app, ["train", *options, *words])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(r"\n--\t", "\n--\t"), (r"a\\nb", r"a\nb"), (r"\d", r"\d"), ("\n", "\n"), ("", "")],
)
def test_a_newline_and_a_tab_can_be_typed(typed, meant):
    assert with_escapes(typed) == meant


def test_a_separator_with_newlines_is_typed_with_escapes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("Anna\n--\nBob-- x\n--\nCy\n")
    done = train("a.txt", "--items", "separator", "--separator", r"\n--\n")
    assert done.exit_code == 0, done.output
    assert "a.txt: 3 items with 13 characters" in done.output


def test_the_column_of_a_csv_file_has_two_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text('id,text\n1,"Anna\nB"\n2,Cy\n')
    for option in ("--column", "--field"):
        done = train("a.csv", "--items", "csv", option, "text", "--run", option.strip("-"))
        assert "a.csv: 2 items with 8 characters" in done.output
        assert done.exit_code == 0


def test_a_broken_line_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("id,text\n1,Anna\n2\n")
    done = train("a.csv", "--items", "csv", "--column", "text")
    assert done.exit_code == 2
    assert "a.csv, line 3: the row has 1 column, but the header has 2" in done.output
    assert not (tmp_path / "run").exists()
