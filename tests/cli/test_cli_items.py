"""The command train takes a collection of items, and names a mistake in it in one line."""

import json

import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.cli.escapes import unescaped


def train(*words):
    """Run the command train on a few items."""
    options = ("--recipe", "classic", "--updates", "3", "--hidden-size", "3", "--run", "run")
    return CliRunner().invoke(app, ["train", *options, *words])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [(r"\n--\t", "\n--\t"), (r"a\\nb", r"a\nb"), (r"\d", r"\d"), ("\n", "\n"), ("", "")],
)
def test_a_newline_and_a_tab_can_be_typed(typed, meant):
    assert unescaped(typed) == meant


def test_a_separator_with_newlines_is_typed_unescaped(tmp_path, monkeypatch):
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


# Writing items


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A run of a few names, which tests only read."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "names.txt").write_text("\n".join(["ada", "bea", "eva", "ida", "anna", "dana"] * 4))
    charloom.train(
        folder / "names.txt", folder / "run", items="lines", recipe="classic", hidden_size=8, seq_length=8, updates=200,
        learning_rate=0.1,
    )  # fmt: skip
    return folder / "run"


def sample(run, *words):
    """Run the command sample."""
    return CliRunner().invoke(app, ["sample", str(run), *map(str, words)])


def test_items_are_printed_one_per_line_and_what_was_left_out_is_said(names):
    done = sample(names, "-n", 5, "--new", "--distinct")
    written = done.stdout.splitlines()
    assert written == list(charloom.load(names).items(5, new=True, distinct=True))
    assert not {"ada", "bea", "eva", "ida", "anna", "dana"} & set(written)
    assert "in the collection" in done.stderr


def test_a_check_of_the_user_keeps_items_and_its_failure_is_one_line(names, tmp_path):
    rules = tmp_path / "rules.py"
    rules.write_text(
        "def is_short(item):\n    return len(item) < 4\ndef broken(item):\n    return item[99]\n"
    )
    done = sample(names, "-n", 4, "--check", f"{rules}:is_short")
    assert [len(item) < 4 for item in done.stdout.splitlines()] == [True] * 4
    assert "tested items passed" in done.stderr
    failed = sample(names, "--check", f"{rules}:broken")
    assert failed.exit_code == 2
    assert "rules.py failed, line 4: IndexError" in failed.stderr
    assert "has no function 'other'" in sample(names, "--check", f"{rules}:other").stderr
    assert "must name a file and a function" in sample(names, "--check", "rules.py").stderr


def test_json_has_each_item_with_its_probability(names):
    found = json.loads(
        sample(names, "-n", 3, "--matching", "[a-z]+", "--max-length", 50, "--json").stdout
    )
    (written,) = found["samples"]
    assert [item["text"] for item in written["items"]] == list(
        charloom.load(names).items(3, matching="[a-z]+", max_length=50)
    )
    assert all(0 < item["probability"] <= 1 for item in written["items"])
    assert (found["length"], written["pass_rate"]) == (50, 1.0)


def test_paragraphs_are_separated_as_in_the_text(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(["ab\nba", "ba\nab", "aa\nbb"] * 8))
    run = tmp_path / "run"
    charloom.train(
        tmp_path / "a.txt", run, items="paragraphs", recipe="classic", hidden_size=8, updates=150, learning_rate=0.1
    )  # fmt: skip
    done = sample(run, "-n", 3)
    assert done.stdout == "\n\n".join(charloom.load(run).items(3)) + "\n"


def test_options_for_items_are_refused_for_a_stream(tmp_path):
    charloom.train(
        string="abc " * 40, run=tmp_path / "run", recipe="classic", hidden_size=3, updates=1
    )
    done = sample(tmp_path / "run", "--new")
    assert (done.exit_code, "the model learned a stream" in done.stderr) == (2, True)


def test_what_ends_a_text_is_refused_for_items(names):
    for words in (("--stop", "a"), ("--length", 5)):
        done = sample(names, *words)
        assert (done.exit_code, "ends each item itself; give --max-length" in done.stderr) == (
            2,
            True,
        )
    grid = sample(names, "--grid", "--new")
    assert (grid.exit_code, "which --grid does not do" in grid.stderr) == (2, True)


def test_distinct_items_differ_over_all_prompts(names, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a\na\n")
    done = sample(names, "-n", 4, "--distinct", "--prompts", prompts)
    written = done.stdout.splitlines()
    assert len(written) == len(set(written)) == 8


def test_unknown_characters_of_a_prompt_are_named(names):
    done = sample(names, "--prompt", "Xa", "--unknown", "skip")
    assert "1 unknown character was skipped: 'X' (1) in the prompt" in done.stderr


@pytest.mark.parametrize("to", ["html", "onnx"])
def test_a_file_that_cannot_begin_an_item_is_refused(names, to, tmp_path):
    done = CliRunner().invoke(
        app, ["export", str(names), "--to", to, "--output", str(tmp_path / f"a.{to}")]
    )
    assert (done.exit_code, "cannot begin an item with the zero state" in done.stderr) == (2, True)


def test_a_hub_directory_and_a_pytorch_file_keep_the_items(names, tmp_path):
    for to, output in (("hub", tmp_path / "hub"), ("torch", tmp_path / "a.safetensors")):
        done = CliRunner().invoke(app, ["export", str(names), "--to", to, "--output", str(output)])
        assert done.exit_code == 0, done.stderr
    again = charloom.load(tmp_path / "hub")
    assert list(again.items(4)) == list(charloom.load(names).items(4))
    done = CliRunner().invoke(
        app,
        ["import", str(tmp_path / "a.safetensors"), "--output", str(tmp_path / "back.safetensors")],
    )
    assert done.exit_code == 0, done.output
    assert list(charloom.load(tmp_path / "back.safetensors").items(4)) == list(again.items(4))
