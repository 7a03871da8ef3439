"""The doctor judges the submissions of a class; what one of them does harms no other and no file.

The tests that judge submissions take some seconds, because each one starts Python several times.
"""

import csv
import html
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.cli.class_command import (
    ClassDisplay,
    ClassOutput,
    class_lines,
    how_to_continue,
    write_verdicts,
)
from charloom.diagnosis import doctor
from charloom.diagnosis.class_files import csv_table, gradescope_results
from charloom.diagnosis.class_result import DiagnosedClass, Judged, main_line
from charloom.diagnosis.process_tree import descendants
from charloom.diagnosis.sandbox_settings import CopiedFile
from charloom.diagnosis.submissions import Submission
from charloom.errors import CharloomError, ConfigError
from charloom.messages import (
    CLOSE,
    OPEN,
    argument,
    for_command_line,
    for_python,
    spelled_in_html,
)
from charloom.report import write_class
from charloom.report.diagnosis_page import render_diagnosis
from class_submissions import (
    BROKEN,
    FUNCTION,
    MARK,
    Handed,
    differences,
    hand_in,
    hostile,
    processes_with,
    right,
    wrong,
)
from pages import Page
from plants import PLANTS, function
from waiting import until

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such signals and limits")


def run(*words, **options):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(map(str, words)), prog_name="charloom", **options)


def by_name(submissions, *names):
    return [one for one in submissions if one.name in names]


# A small class.


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Judge ten submissions by the command, and return them with the folder and the result of the command."""
    place = tmp_path_factory.mktemp("class")
    folder, outside = place / "in", place / "home"
    folder.mkdir()
    outside.mkdir()
    submissions = [
        right(0), right(1), *list(wrong())[:1],
        *by_name(BROKEN, "broken-missing", "broken-syntax", "broken-raises"),
        *by_name(hostile(folder, outside), "hostile-os-exit", "hostile-fake-files", "hostile-reads-others",
                 "hostile-writes", "hostile-leaves-processes", "hostile-endless-c"),
    ]  # fmt: skip
    hand_in(folder, submissions)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = run(
        "doctor", folder, "--function", FUNCTION, "--json", "--time-limit", "25", "--csv", place / "class.csv",
        "--gradescope", place / "results.json", "--html", place / "pages", env={"HOME": str(outside)},
    )  # fmt: skip
    return place, submissions, before, done


@posix
def test_each_submission_gets_its_verdict(judged):
    _, submissions, _, done = judged
    assert done.exit_code == 1, done.output
    result = json.loads(done.stdout)
    if result["separation"] == "limits":  # then a submission can read the others
        submissions = [one for one in submissions if one.name != "hostile-reads-others"]
    assert differences(submissions, result["submissions"]) == []
    assert result["passed"] is False
    assert result["unjudged"] == []
    assert sum(result["counts"].values()) == len(result["submissions"]) == 12


@posix
def test_no_submission_changes_a_file_or_leaves_a_process(judged):
    place, _, before, done = judged
    if json.loads(done.stdout)["separation"] == "limits":
        pytest.skip("without namespaces, a submission can write what the user can")
    assert {path.name: path.read_bytes() for path in (place / "in").iterdir()} == before
    assert [path.name for path in (place / "home").iterdir() if not path.name.startswith(".")] == []
    assert processes_with(MARK) == []


@posix
def test_the_files_have_every_submission(judged):
    place, submissions, _, done = judged
    names = sorted(one.name for one in submissions)
    with (place / "class.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["submission"] for row in rows] == names
    tests = json.loads((place / "results.json").read_text(encoding="utf-8"))["tests"]
    assert [one["name"] for one in tests] == names
    assert {one["name"]: one["status"] for one in tests}["right-00"] == "passed"
    index = Page((place / "pages" / "index.html").read_text(encoding="utf-8"))
    links = [value for _, name, value in index.attributes if name == "href"]
    assert len(links) == len(names)
    assert "wrote" in done.stderr
    for link, name in zip(links, names, strict=True):
        page = Page((place / "pages" / link).read_text(encoding="utf-8"))
        assert name in page.words
        assert ("href", "index.html") in [(key, value) for _, key, value in page.attributes]


def test_a_wrong_row_is_noticed():
    submissions = [right(0), right(1), Handed("c", "", "wrong", "truncated"), right(2)]
    row = {"verdict": "right", "headline": "", "mistakes": [], "error": "", "reason": "R"}
    rows = [
        {**row, "name": "right-00"},
        {**row, "name": "right-01", "verdict": "error"},
        {**row, "name": "c", "verdict": "wrong"},
    ]
    assert differences(submissions, rows) == [
        "right-01 is error, not right: R ",
        "c does not say truncated: R",
        "right-02 has no row",
    ]


# The command.


@posix
def test_a_class_in_which_all_are_right_has_exit_code_0(tmp_path):
    hand_in(tmp_path, [right(0)])
    done = run("doctor", f"{tmp_path / '*.py'}:{FUNCTION}")
    assert done.exit_code == 0, done.output
    assert "right-00    right    Right: the largest error" in done.stdout
    assert "1 right." in done.stdout


@posix
def test_strict_lets_only_the_network_of_the_specification_pass(tmp_path):
    text = right(0).text.replace("return loss", "return loss * 1")
    mean = f"{text}\n\nsummed = {FUNCTION}\n\n\ndef {FUNCTION}(params, x, y, h0):\n"
    mean += "    loss, grads = summed(params, x, y, h0)\n"
    mean += "    return loss / len(x), {k: g / len(x) for k, g in grads.items()}\n"
    hand_in(tmp_path, [Handed("mean", mean, "right for its own network")])
    assert run("doctor", f"{tmp_path}:{FUNCTION}").exit_code == 0
    done = run("doctor", f"{tmp_path}:{FUNCTION}", "--strict")
    assert done.exit_code == 1
    assert "right for its own network" in done.stdout


@posix
def test_a_student_gets_a_test_for_each_gradient(tmp_path):
    (one,) = [one for one in wrong() if one.says == "time-carry-missing"]
    hand_in(tmp_path, [one])
    words = ["--function", FUNCTION, "--gradescope", tmp_path / "results.json"]
    assert run("doctor", tmp_path / f"{one.name}.py", *words).exit_code == 1
    results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    tests = {test["name"]: test for test in results["tests"]}
    assert list(tests) == [
        "verdict: wrong", "gradient dU", "gradient dW", "gradient db", "gradient dV", "gradient dc", "loss",
    ]  # fmt: skip
    assert [test["score"] for test in tests.values()] == [0, 0, 0, 0, 1, 1, 1]
    assert results["score"] == 3
    assert "no gradient flows back" in tests["verdict: wrong"]["output"]


def test_an_error_with_json_is_json_on_stdout(tmp_path):
    for words in (["doctor"], ["doctor", tmp_path / "a.py:f"], ["doctor", tmp_path]):
        done = run(*words, "--json")
        assert done.exit_code == 2
        result = json.loads(done.stdout)
        assert result["verdict"] == "error"
        assert result["error"].split()[-1].rstrip(".") in done.stderr


@posix
def test_a_function_that_crashes_is_json_too(tmp_path):
    (tmp_path / "mine.py").write_text(
        "def f(params, x, y, h0):\n    raise SystemExit\n", encoding="utf-8"
    )
    done = run("doctor", tmp_path / "mine.py:f", "--json")
    assert done.exit_code == 2
    assert "SystemExit" in json.loads(done.stdout)["error"]


@posix
def test_a_wrong_option_ends_the_command(tmp_path):
    hand_in(tmp_path, [right(0)])
    done = run("doctor", tmp_path, "--function", FUNCTION, "--form", "quark")
    assert done.exit_code == 2
    assert "--form" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.py:f", "--function", "f"], "names a function already"),
        ([".", "--function", "a b"], "must be the name of a function"),
        ([".:f", ".:g"], "several functions: f, g"),
        ([".", "--include", "nowhere.txt"], "nowhere.txt, which is not a file"),
    ],
)
def test_a_contradiction_is_refused(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("doctor", *words)
    assert done.exit_code == 2
    assert sentence in done.stderr


@posix
def test_ctrl_c_keeps_the_verdicts_and_ends_all_processes(tmp_path):
    text = f"MARK = {MARK!r}\ndef {FUNCTION}(params, x, y, h0):\n    while True: pass\n"
    endless = Handed("endless", text, "error")
    hand_in(tmp_path, [right(0), endless])
    command = [
        sys.executable, "-m", "charloom", "doctor", str(tmp_path), "--function", FUNCTION, "--jobs", "2",
        "--time-limit", "600", "--csv", str(tmp_path / "class.csv"), "--resume", str(tmp_path / "kept.jsonl"),
    ]  # fmt: skip
    program = (
        "import sys; from charloom.cli import class_command, main\n"
        "take = class_command.ClassDisplay.take\n"
        "def shown(self, *of): take(self, *of); print('judged', file=sys.stderr, flush=True)\n"
        "class_command.ClassDisplay.take = shown\n"
        "main()\n"
    )
    command[1:3] = ["-c", program]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "judged" in process.stderr.readline()  # the right one; the other one never ends
    children = set(descendants(process.pid))
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "right-00" in output
    assert "1 of 2 submissions are not judged. The same command again continues." in errors
    assert [
        json.loads(line)["judged"]["name"]
        for line in (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines()
    ] == ["right-00"]
    assert "right-00,right" in (tmp_path / "class.csv").read_text(encoding="utf-8")
    until(lambda: not children & set(processes_with("charloom")))


def test_an_interrupted_command_says_how_to_continue():
    assert how_to_continue(Path("kept.jsonl")) == "The same command again continues."
    assert for_command_line(how_to_continue(None)).startswith(
        "With --resume FILE, the same command"
    )


# Python.


@posix
def test_the_python_function_gives_the_same(tmp_path):
    (tmp_path / "data.txt").write_text("abc", encoding="utf-8")
    text = right(0).text + "\n\nassert open('data.txt').read() == 'abc'\n"
    folder = tmp_path / "in"
    folder.mkdir()
    hand_in(folder, [Handed("ada", text, "right")])
    seen = []
    result = charloom.doctor_class(
        folder,
        FUNCTION,
        include=[tmp_path / "data.txt"],
        jobs=1,
        progress=lambda done, total, one: seen.append((done, total, one.name)),
    )
    (one,) = result.submissions
    assert (one.verdict, result.passed, one.page) == ("right", True, "")
    assert one.diagnosis["certificate"].startswith(
        "charloom doctor: ada.py:loss_and_gradients is right"
    )
    assert seen == [(1, 1, "ada")]
    assert "ada" in result._repr_html_()
    json.dumps(result.to_dict())


@posix
def test_files_of_other_systems_and_with_odd_names_are_judged(tmp_path):
    text = right(0).text
    files = {
        "bom.py": text.encode("utf-8-sig"), "crlf.py": text.replace("\n", "\r\n").encode(),
        "latin.py": f"# -*- coding: latin-1 -*-\n# caf\xe9\n{text}".encode("latin-1"),
        "O'Brien \"Bob\" (1).v2.py": text.encode(), "UPPER.PY": text.encode(), "a\nb.py": text.encode(),
        ".DS_Store": b"\0", "notes.txt": b"",
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    result = charloom.doctor_class(tmp_path, FUNCTION)
    names = ["a\nb", "bom", "crlf", "latin", 'O\'Brien "Bob" (1).v2', "UPPER"]
    assert [(one.name, one.verdict) for one in result.submissions] == [(n, "right") for n in names]


@posix
def test_a_submission_that_uses_charloom_is_noted(tmp_path):
    text = f"import charloom\n{right(0).text}"
    hand_in(tmp_path, [Handed("ada", text, "right")])
    result = charloom.doctor_class(tmp_path / "ada.py", FUNCTION)
    assert "ada.py uses charloom" in result.submissions[0].notes[0]


@pytest.mark.parametrize(
    "code",
    ["sys._getframe()", "gc.get_objects()", "x = sys.modules", "import ctypes", "__import__('a')"],
)
def test_code_that_looks_into_the_doctor_is_noted(code, tmp_path):
    from charloom.api.class_worker import warnings_about

    (tmp_path / "a.py").write_text(f"import numpy\n{code}\n", encoding="utf-8")
    submission = Submission("ada", [CopiedFile(str(tmp_path / "a.py"), "a\nb.py")])
    (note,) = warnings_about(submission)
    assert note.startswith("a b.py uses ")
    assert "\n" not in note
    assert not warnings_about(Submission("ada", []))


def test_a_class_without_submissions_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no submission"):
        charloom.doctor_class(tmp_path, "f")


# What is shown.


def verdict(name, verdict, **fields):
    return Judged(name, "rnn.py", "f", verdict, verdict != "wrong", **fields)


def test_any_verdict_is_shown_as_it_comes():
    own = verdict("b", "right for its own network", headline="Right for its own network.")
    result = DiagnosedClass((verdict("a", "wrong"), own, verdict("c", "wrong")), ("d",))
    assert result.counts == {"wrong": 2, "right for its own network": 1}
    lines = class_lines(result)
    assert lines[2] == "b           right for its own network  Right for its own network."
    assert (
        lines[-1]
        == "3 submissions in 0.0 s: 2 wrong and 1 right for its own network; 1 not judged."
    )


def test_the_reason_of_an_error_is_its_cause():
    message = (
        'the function failed (x):\n  File "a.py", line 3, in f\n    code\n  File "b.py", line 7, in g\n'
        "    code\nValueError: bad\nadvice"
    )
    assert main_line(message) == "ValueError: bad (b.py, line 7)"
    assert main_line("one line") == "one line"
    assert main_line("the cause.\nWrite a function.\n  advice") == "the cause."
    assert (
        main_line("a.py has two:\n  f: this\n  g: that\nName one.")
        == "a.py has two: f: this; g: that"
    )
    error = verdict("a", "error", error=f"slow; use {argument('time_limit')}.")
    assert error.reason == "slow; use time_limit."
    assert error.to_dict()["error"] == "slow; use time_limit."


def test_only_a_terminal_cuts_the_table():
    name, reason = "n" * 50, "r" * 250
    result = DiagnosedClass((verdict(name, "error", error=reason),))
    assert class_lines(result)[1] == f"{name}  error    {reason}"
    assert [len(line) for line in class_lines(result, 120)[:2]] == [47, 120]
    assert len(class_lines(result, 10)[1]) == 30 + 2 + 7 + 2 + 30


@posix
def test_the_row_of_a_notebook_has_its_verdict(tmp_path):
    cell = {"cell_type": "code", "source": right(0).text}
    (tmp_path / "ada.ipynb").write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
    (tmp_path / "bob.ipynb").write_text("damaged", encoding="utf-8")
    result = charloom.doctor_class(tmp_path)
    rows = [(one.name, one.file, one.verdict) for one in result.submissions]
    assert rows == [("ada", "ada.ipynb", "right"), ("bob", "bob.ipynb", "error")]
    assert "bob.ipynb is not a Jupyter notebook" in result.submissions[1].reason


def own_network(rows):
    """Return a verdict on a submission with the loss of another network; `rows` are those of its diagnosis."""
    difference = {"id": "mean-over-time", "title": "the mean", "fix": "do not divide"}
    data = {"rows": rows, "network": [difference], "explanations": [], "tried": {"cell": "gru"}}
    note = "look at it."
    return verdict(
        "a", "right for its own network", headline="Right.", diagnosis=data, notes=(note,)
    )


def test_the_csv_has_the_differences_the_notes_and_plain_numbers():
    row = {"parameter": "W", "norm_relative": 1.25e-12, "passed": True}
    (cells,) = csv.DictReader(io.StringIO(csv_table(DiagnosedClass((own_network([row]),)))))
    assert (cells["differences"], cells["notes"]) == ("mean-over-time", "look at it.")
    assert float(cells["largest error"]) == 1.2e-12
    assert own_network([]).to_dict()["differences"] == ["mean-over-time"]


def test_gradescope_says_how_to_match_the_specification():
    row = {"parameter": "W", "norm_relative": 1.25e-12, "passed": True}
    tests = json.loads(gradescope_results(DiagnosedClass((own_network([row]),))))["tests"]
    assert [one["name"] for one in tests] == ["verdict: right for its own network", "gradient dW"]
    assert tests[0]["output"] == "Right.\n- the mean: do not divide"


def test_gradescope_has_a_test_for_each_gradient_of_an_unknown_network():
    results = json.loads(gradescope_results(DiagnosedClass((own_network([]),))))
    names = [one["name"].removeprefix("gradient ") for one in results["tests"][1:]]
    assert names == ["dU", "dW", "db", "dd", "dV", "dc"]
    assert results["score"] == 7
    assert (
        results["tests"][1]["output"] == "compared with the derivative of the function's own loss"
    )


def test_the_page_of_a_class_says_what_the_verdicts_mean(tmp_path):
    page = Page(write_class(DiagnosedClass(()), tmp_path / "pages").read_text(encoding="utf-8"))
    for word in ("right:", "right for its own network:", "wrong:", "error:"):
        assert word in page.words


def test_the_page_of_a_submission_names_options_as_the_single_page_does(tmp_path):
    """The placeholders of arguments are in escaped text when the pages of a class are written."""
    plant = next(plant for plant in PLANTS if plant.name == "loop-mean-over-time")
    found = doctor(function("loop", plant))
    one = verdict("ada", found.verdict, marked_page=render_diagnosis(found, str, "index.html"))
    assert OPEN in one.marked_page
    folder = tmp_path / "pages"
    write_class(DiagnosedClass((one,)), folder, for_command_line)
    page = Page((folder / "01-ada.html").read_text(encoding="utf-8"))
    assert "set --reduction mean" in page.words
    single = Page(render_diagnosis(found, for_command_line, "index.html"))
    assert page.words == single.words
    assert 'reduction="mean"' in Page(one.page).words
    for text in (one.page, *(path.read_text("utf-8") for path in folder.iterdir())):
        assert OPEN not in text
        assert CLOSE not in text


def test_text_of_a_student_that_looks_like_a_placeholder_stays_escaped():
    """A file name may have the characters that begin and end a placeholder."""
    forged = argument("<script>alert(1)</script>", "<b>")
    page = spelled_in_html(f"<p>{html.escape(forged)}</p>{OPEN}<i></i>{CLOSE}", for_python)
    assert Page(page).tags == ["p", "i"]
    assert "<script>" in Page(page).words


def test_clipping_of_a_right_submission_is_a_difference_and_no_mistake():
    clipped = {"id": "clipped", "title": "clipped", "fix": "do not"}
    data = {"rows": [], "network": [], "explanations": [[clipped]], "tried": {"cell": "rnn"}}
    own = verdict("a", "right for its own network", mistakes=("clipped",), diagnosis=data)
    wrong = verdict("b", "wrong", mistakes=("clipped",), diagnosis=data)
    rows = list(csv.DictReader(io.StringIO(csv_table(DiagnosedClass((own, wrong))))))
    assert [(row["mistakes"], row["differences"]) for row in rows] == [
        ("", "clipped"),
        ("clipped", ""),
    ]
    assert (own.to_dict()["differences"], wrong.to_dict()["differences"]) == (["clipped"], [])


def test_reasons_that_are_sentences_begin_with_a_capital_and_names_stay_as_they_are():
    assert verdict("a", "error", error="the function crashed.").reason == "The function crashed."
    assert verdict("a", "error", error="theta.py has no loss.").reason == "theta.py has no loss."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--csv", "none/a.csv"), "--csv is none/a.csv, but the directory none does not exist"),
        (("--gradescope", "none/g.json"), "--gradescope is none/g.json, but the directory none"),
        (("--html", "none/pages"), "--html is none/pages, but the directory none does not exist"),
        (("--html", "one.html"), "need a directory: --html one."),
        (("--html", "file"), "file is a file"),
        (("--csv", "folder"), "--csv is folder, which is a directory"),
    ],
)
def test_paths_are_checked_before_the_class_is_judged(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.py").write_text("raise SystemExit\n", encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    done = run("doctor", "in", *options)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert "judged" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_written_does_not_keep_the_others_from_being_written(tmp_path):
    """The folder of the table disappears while the class is judged."""
    result = DiagnosedClass((verdict("a", "error", error="slow"),))
    output = ClassOutput(
        tmp_path / "gone" / "a.csv", tmp_path / "pages", tmp_path / "g.json", False
    )
    with pytest.raises(CharloomError, match=r"a\.csv"):
        write_verdicts(result, output)
    assert (tmp_path / "pages" / "index.html").exists()
    assert json.loads((tmp_path / "g.json").read_text("utf-8"))["tests"]


HOSTILE = "=cmd|'/c calc'!A1<script>alert(1)</script>\x1b[31m"


def test_untrusted_names_are_harmless_everywhere(tmp_path):
    one = verdict(HOSTILE, "error", error=HOSTILE, notes=(HOSTILE,))
    result = DiagnosedClass((one, one), (HOSTILE,))
    rows = list(csv.reader(io.StringIO(csv_table(result))))
    assert rows[1][0].startswith("'=cmd")
    assert "\x1b" not in csv_table(result) + gradescope_results(result) + "".join(rows[1])
    named = verdict("a\nzoe  right  Right.", "wrong", notes=("n\nzoe  right",))
    lines = class_lines(DiagnosedClass((named,)))
    assert not [line for line in "\n".join(lines).splitlines() if line.startswith("zoe")]
    assert csv_table(DiagnosedClass((verdict("\uff1d1", "wrong"),))).count("'\uff1d1")
    write_class(result, tmp_path / "pages")
    for path in (tmp_path / "pages").iterdir():
        html = path.read_text(encoding="utf-8")
        assert "script" not in Page(html).tags
        assert "\x1b" not in html


def test_the_pages_need_a_directory(tmp_path):
    result = DiagnosedClass(())
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="is a file"):
        write_class(result, tmp_path / "file")
    with pytest.raises(ConfigError, match="does not exist"):
        write_class(result, tmp_path / "a" / "b")


def test_the_progress_has_the_number_and_the_time_left(capsys):
    times = iter([0.0, 2.0, 6.0, 8.0])
    display = ClassDisplay(clock=lambda: next(times))
    display._bar = None
    for done in (1, 2, 3):
        display.take(done, 4, verdict("a", "wrong"))
    assert capsys.readouterr().err == "charloom: judged 2 of 4 submissions, about 6.0 s left\n"


def test_the_name_of_a_page_is_safe():
    from charloom.report.class_page import file_name

    assert file_name(3, verdict("Ada Lovelace", "wrong")) == "03-ada-lovelace.html"
    assert file_name(1, verdict("../../x", "wrong")) == "01-x.html"
    assert file_name(12, verdict("李", "wrong")) == "12-submission.html"
    assert Path(file_name(1, verdict("a" * 500, "wrong"))).name.count("a") == 60
