"""The commands `study`: the table, the best settings, the files, interruptions and errors."""

import csv
import json
import shlex
import signal

import pytest

from book_text import TEXT
from charloom.store.journal import Journal
from charloom.studies import begin_study, open_study
from charloom.studies.results import FINISHED, RunResult
from command_line import charloom_, started
from waiting import until

SPEC = """
text = "book.txt"
seeds = 2
[settings]
hidden_size = 4
updates = 30
validation = 0.2
[grid]
cell = ["rnn", "gru"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Run a study once, and return the folder with its specification."""
    path = tmp_path_factory.mktemp("study")
    (path / "book.txt").write_text(TEXT, encoding="utf-8")
    (path / "cells.toml").write_text(SPEC)
    done = charloom_("study", path / "cells.toml", "--out", path / "study", "--workers 1")
    assert done.exit_code == 0, done.stderr
    return path


def test_the_table_has_a_row_for_each_setting(folder):
    done = charloom_("study table", folder / "study")
    lines = done.stdout.splitlines()
    assert lines[0].split() == [
        "cell",
        "runs",
        "bits",
        "deviation",
        "95",
        "%",
        "interval",
        "seconds",
    ]
    rows = {line.split()[0]: line.split() for line in lines[1:3]}
    summary = json.loads(charloom_("study table", folder / "study", "--json").stdout)
    for group in summary["groups"]:
        row = rows[group["settings"]["cell"]]
        assert row[1] == "2"
        assert float(row[2]) == pytest.approx(group["mean_bits"], abs=5e-5)
        assert float(row[3]) == pytest.approx(group["deviation"], abs=5e-5)
    assert lines[-1].endswith("the lowest on the validation part; 4 runs finished.")


def test_a_finished_study_is_not_trained_again(folder):
    before = sorted((folder / "study" / "results").iterdir())
    for given in (f"{folder}/cells.toml --out {folder}/study", f"{folder}/study"):
        done = charloom_("study", given, "--json")
        assert done.exit_code == 0
        assert json.loads(done.stdout)["finished"] == 4
    assert sorted((folder / "study" / "results").iterdir()) == before


def test_the_best_settings_can_be_trained_again(folder, tmp_path):
    (best,) = json.loads(charloom_("study best", folder / "study", "--json").stdout)
    text = charloom_("study best", folder / "study").stdout
    assert best["command"] in text
    assert f"best settings: cell {best['settings']['cell']}" in text
    words = best["command"].removeprefix("charloom ")
    again = charloom_(words, "--run", tmp_path / "run", "--json")
    assert again.exit_code == 0, again.stderr
    records = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    nats = [json.loads(line).get("validation_nats") for line in records]
    study = open_study(folder / "study")
    assert (
        min(n for n in nats if n is not None) == study.results()[best["run"]["key"]].validation_nats
    )


def test_runs_are_written_into_a_file(folder, tmp_path):
    done = charloom_("study export", folder / "study", tmp_path / "runs.csv")
    assert "wrote 4 rows" in done.stderr
    assert len(list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))) == 4
    done = charloom_("study export", folder / "study", tmp_path / "runs.xlsx")
    assert done.exit_code == 2
    assert "must end in .csv or .parquet" in done.stderr


def test_an_existing_file_is_overwritten_only_on_request(folder, tmp_path):
    (tmp_path / "runs.csv").write_text("mine")
    words = ("study export", folder / "study", tmp_path / "runs.csv")
    done = charloom_(*words)
    assert done.exit_code == 2
    assert "exists; name another file, or give --force" in done.stderr
    assert (tmp_path / "runs.csv").read_text() == "mine"
    assert charloom_(*words, "--force").exit_code == 0
    assert len(list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))) == 4


def test_a_changed_file_is_refused_until_the_change_is_accepted(folder, tmp_path):
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    spec, study = tmp_path / "cells.toml", tmp_path / "study"
    spec.write_text(SPEC)
    assert charloom_("study", spec, "--out", study, "--workers 1").exit_code == 0
    spec.write_text(SPEC.replace('"gru"]', '"lstm"]'))
    done = charloom_("study", spec, "--out", study)
    assert done.exit_code == 2
    assert (
        "2 runs would be new, 2 runs would stay, and 2 runs (2 of them with a result)"
        in done.stderr
    )
    assert "--change" in done.stderr
    done = charloom_("study", spec, "--out", study, "--change --workers 1 --json")
    assert json.loads(done.stdout)["finished"] == 4
    assert len(list(open_study(study).files.each_result())) == 6


def test_a_failed_run_is_shown_and_gives_exit_code_1(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    spec = tmp_path / "cells.toml"
    spec.write_text(
        SPEC.replace('cell = ["rnn", "gru"]', "learning_rate = [0.1, 1e38]").replace(
            "seeds = 2", "seeds = 1"
        )
    )
    done = charloom_("study", spec, "--out", tmp_path / "study", "--workers 1")
    assert done.exit_code == 1
    assert "failed: update" in done.stderr
    assert "diverges" in done.stderr
    assert "1 failed" in done.stdout


def test_an_interrupted_study_continues(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    spec = tmp_path / "long.toml"
    # Enough runs that the study still trains when the first results are there.
    spec.write_text('text = "book.txt"\nseeds = 5000\n[settings]\nhidden_size = 4\nupdates = 200\n')
    study = tmp_path / "study"
    with started("study", spec, "--out", study, "--workers", 1) as process:
        until(lambda: (study / "study.json").exists() and len(open_study(study).results()) > 3)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert process.returncode == 130
    assert "The same command continues." in errors
    assert "bits per character" in output
    results = [result.key for result in open_study(study).files.each_result()]
    assert 3 < len(results) < 5000
    assert len(set(results)) == len(results)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("study nowhere.toml", "nowhere.toml cannot be read"),
        ("study table .", "is not a study"),
        ("study best nowhere", "is not a study"),
        ("study tabel studies/rnd", "'tabel' is neither a command nor a path that exists; did you"),
        ("study expotr", "did you mean export?"),
        ("study foo studies/rnd", "the commands are run, work, table, best, report, export."),
        ("study foo", "foo cannot be read"),
        ("study best.toml", "best.toml cannot be read"),
        ("study " + "a" * 500 + " b", "neither a command nor a path"),
        ("runs lits", "did you mean list?"),
        ("study a.toml --partition short", "--partition is only for a script; give its path"),
        ("study a.toml --per-task 5 --partition x", "--per-task and --partition are only for"),
        ("study a.toml --slurm-script a.sh --on tcp://1.2.3.4:1", "--on is for training, but"),
        ("study a.toml --slurm-script a.sh --retry --json", "--retry and --json are for training"),
    ],
)
def test_a_mistake_is_explained(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = charloom_(words)
    assert done.exit_code == 2
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "a b"], "has a space"),
        (["--partition", "short\ntouch stolen"], "must be the name of a partition"),
        (["--minutes-per-task", "1"], "give at least 2"),
    ],
)
def test_a_script_that_is_refused_leaves_no_study(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "cells.toml").write_text(SPEC)
    done = charloom_("study cells.toml --slurm-script job.sh", *map(shlex.quote, words))
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.txt", "cells.toml"]


def test_a_script_has_fifty_runs_in_each_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "cells.toml").write_text(SPEC)
    assert charloom_("study cells.toml --slurm-script job.sh --partition a,b").exit_code == 0
    script = (tmp_path / "job.sh").read_text()
    assert " --size 50 " in script
    assert "#SBATCH --partition=a,b\n" in script


def test_the_report_is_one_file(folder, tmp_path):
    done = charloom_("study report", folder / "study")
    assert done.exit_code == 0, done.stderr
    assert (folder / "study" / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (
        charloom_("study report", folder / "study", "--output", tmp_path / "a.html").exit_code == 0
    )
    assert (tmp_path / "a.html").exists()


def test_a_part_is_trained_by_itself(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "cells.toml").write_text(SPEC)
    script = tmp_path / "job.sh"
    done = charloom_(
        "study",
        tmp_path / "cells.toml",
        "--out",
        tmp_path / "study --per-task 3 --slurm-script",
        script,
    )
    assert done.exit_code == 0, done.stderr
    assert f"sbatch {script}" in done.stderr
    assert "study work" in script.read_text()
    study = open_study(tmp_path / "study")
    assert study.results() == {}
    done = charloom_("study work", study.path, "--part 1 --size 3 --workers 1")
    assert "part 1: 1 of 1 run finished" in done.stderr
    assert set(study.results()) == {study.plan[3].key}
    assert charloom_("study work", study.path, "--part 2 --size 3").exit_code == 2


def test_warnings_are_below_the_table(tmp_path):
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "cells.toml").write_text(SPEC)
    made = begin_study(tmp_path / "cells.toml", tmp_path / "study")
    with Journal(made.files.new_journal(0)) as journal:
        for run in made.plan[:2]:
            result = RunResult(run.key, FINISHED, validation_nats=1.0, warnings=("the loss grew.",))
            journal.append(result.to_dict())
        journal.flush()
    done = charloom_("study table", made.path)
    assert "2, 2 warned" in done.stdout
    assert "runs 0 and 1 (cell rnn, seeds 0 and 1): the loss grew." in done.stderr
    told = json.loads(charloom_("study table", made.path, "--json").stdout)
    assert [one["run"] for one in told["warnings"]] == [0, 1]
