"""Tests of `charloom sample` with several prompts, stop strings and JSON."""

import json
import math

import pytest

import charloom
import small_runs
from charloom.cli.escapes import unescaped
from command_line import charloom_


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small run, which tests only read."""
    path = tmp_path_factory.mktemp("sample") / "run"
    small_runs.train(path, hidden_size=4)
    return path


def test_several_texts_with_a_stop_are_printed_without_headings(run):
    done = charloom_("sample", run, "-n", 4, "--stop", "e", "--length", 30)
    texts = [charloom.load(run).sample(length=30, stop="e", number=number) for number in range(4)]
    assert done.stdout == "".join(f"{text}\n" for text in texts)
    assert "---" in charloom_("sample", run, "-n", 2, "--length", 5).stdout


def test_a_stop_may_be_written_with_a_backslash(run):
    done = charloom_("sample", run, "--stop", "'\\n'", "--stop", "x", "--length", 5, "--json")
    assert json.loads(done.stdout)["stop"] == ["\n", "x"]
    assert [unescaped(text) for text in ("a\\tb", "\\\\n", "\\d", "end\\")] == [
        "a\tb",
        "\\n",
        "\\d",
        "end\\",
    ]


def test_prompts_are_read_from_a_file_with_one_in_each_line(run, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("the\n\ncat\n", encoding="utf-8")
    done = charloom_("sample", run, "--prompts", file, "-n", 2, "--length", 5, "--json")
    found = json.loads(done.stdout)
    assert [(each["prompt"], each["number"]) for each in found["samples"]] == [
        ("the", 0), ("the", 1), ("cat", 0), ("cat", 1),
    ]  # fmt: skip
    alone = json.loads(
        charloom_("sample", run, "--prompt", "cat", "-n", 2, "--length", 5, "--json").stdout
    )
    assert alone["samples"] == found["samples"][2:]
    shown = charloom_("sample", run, "--prompts", file, "--length", 5).stdout
    assert [line[:3] for line in shown.splitlines() if line.startswith(("the", "cat"))] == [
        "the",
        "cat",
    ]


def test_json_has_the_probability_of_what_was_written(run):
    done = charloom_("sample", run, "--prompt", "the", "--length", 3, "--start", "zero", "--json")
    (sample,) = json.loads(done.stdout)["samples"]
    scored = charloom.load(run).score("the" + sample["text"])
    assert sample["nats"] == pytest.approx(scored.nats[3:].sum(), rel=1e-6)
    assert sample["probability"] == pytest.approx(math.exp(-sample["nats"]))


def test_prompts_that_cannot_be_used_are_refused(run, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("\n\n", encoding="utf-8")
    empty = charloom_("sample", run, "--prompts", file)
    assert (empty.exit_code, "has no prompt; write one in each line" in empty.stderr) == (2, True)
    both = charloom_("sample", run, "--prompts", file, "--prompt", "a")
    assert (both.exit_code, "--prompt and --prompts give prompts" in both.stderr) == (2, True)
    file.write_text("the\ncat\n", encoding="utf-8")
    grid = charloom_("sample", run, "--prompts", file, "--grid")
    assert (grid.exit_code, "--grid writes a table for one prompt" in grid.stderr) == (2, True)
