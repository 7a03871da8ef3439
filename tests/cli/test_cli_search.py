"""The command `study` with a search: its table, and a search that is killed and started again."""

import json
import signal

import pytest

pytest.importorskip("optuna", reason="the extra search is not installed")

from book_text import TEXT
from charloom.studies import open_study
from command_line import charloom_, started
from waiting import until

SPEC = """
text = "book.txt"
[settings]
hidden_size = 4
updates = 40
validation = 0.2
judge_every = 10
[search]
trials = 25
learning_rate = { low = 0.001, high = 1.0 }
"""


def test_a_killed_search_continues_without_losing_a_trial(tmp_path):
    spec = tmp_path / "search.toml"
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    spec.write_text(SPEC)
    path = tmp_path / "study"

    def count():
        return len(open_study(path).results()) if (path / "study.json").exists() else 0

    for least in (2, 6):
        with started("study", spec, "--out", path, "--workers", 2) as process:
            until(lambda least=least: count() >= least)
            process.send_signal(signal.SIGKILL)
            process.communicate()
    done = charloom_("study", spec, "--out", path, "--workers 2 --json")
    assert done.exit_code == 0, done.stderr
    made = open_study(path)
    fields = json.loads(done.stdout)
    assert fields["runs"] == fields["finished"] + fields["pruned"] == 25
    numbers = [one.trial for one in made.files.each_result()]
    assert len(numbers) == len(set(numbers)) == 25
    assert made.trials_left == 0
    table = charloom_("study table", path, "--all").stdout
    assert table.count("pruned") == fields["pruned"] + 1
    assert f"{fields['finished']} runs finished, {fields['pruned']} pruned." in table
    (best,) = json.loads(charloom_("study best", path, "--json").stdout)
    assert best["bits"] == min(one["mean_bits"] for one in fields["groups"] if one["mean_bits"])
