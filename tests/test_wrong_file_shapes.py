"""Every command reports a file of a run that is valid JSON but has the wrong shape.

Each file is as an attacker or a user who edits it by hand could leave it.
"""

import json
import shutil

import pytest
from typer.testing import CliRunner

import charloom
import file_contents
import small_runs
from charloom.cli import app
from charloom.errors import DamagedError
from charloom.gradient_check import gradcheck, read_checks
from charloom.report import write_report
from charloom.store import Status, canonical_json, read_run, read_status
from charloom.store.journal_lines import is_event, is_record, is_sample
from charloom.store.run_settings import read_settings
from pages import NO_VALUE, Page

pytestmark = pytest.mark.usefixtures("kept_plots")

OBJECTS = ["[]", "3", "null", '"text"', "{}", '{"state":["x"]}', '{"checks":3}']
STATUS = {
    "format": 1, "heartbeat": 1.5, "pid": 7, "reason": None, "state": "finished", "update": 9,
    "updates": 9,
}  # fmt: skip
LINES = {
    "metrics.jsonl": ['{"update":7}', '{"update":"x","epoch":"y"}', "[1]", "null", "3"],
    "samples.jsonl": [
        '{"update":7}',
        '{"text":["x"],"update":7}',
        '{"text":"x","update":-1}',
        "[]",
    ],
    "events.jsonl": ['{"event":7}', '{"event":"resumed"}', '{"event":"x","update":null}', "[]"],
}
WRONG_FILES = [
    *(("gradcheck.json", wrong) for wrong in OBJECTS),
    *(
        ("gradcheck.json", f'{{"checks":[{wrong}],"format":1}}')
        for wrong in ("3", "[]", "{}", "null")
    ),
    *(("status.json", wrong) for wrong in OBJECTS),
]
WRONG_LINES = [(name, line) for name, lines in LINES.items() for line in lines]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a finished run with a gradient check."""
    path = tmp_path_factory.mktemp("made") / "run"
    small_runs.train(path, validation=0.2)
    check = gradcheck(hidden_size=2, seq_length=2, vocabulary_size=3)
    (path / "gradcheck.json").write_bytes(
        canonical_json({"checks": [check.to_dict()], "format": 1})
    )
    return path


@pytest.fixture
def run(made, tmp_path):
    """Return a copy of the finished run, which a test damages."""
    return shutil.copytree(made, tmp_path / "run")


def damage(run, name, wrong):
    """Replace a file by a wrong one, or insert a wrong line before the last line of a journal."""
    if name.endswith(".json"):
        (run / name).write_text(wrong)
    else:
        lines = (run / name).read_text().splitlines()
        (run / name).write_text("\n".join([*lines[:-1], wrong, lines[-1], ""]))


def output_of(*command):
    """Run a command, and return what it prints to stderr. Assert that it ends without an exception."""
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 1, 2, 3, 4), done.output
    return done.stderr


@pytest.mark.parametrize(("name", "wrong"), WRONG_FILES + WRONG_LINES)
def test_a_report_names_the_damaged_file_and_shows_the_rest(run, name, wrong):
    damage(run, name, wrong)
    sentences = []
    page = Page(write_report(run, on_message=sentences.append).read_text(encoding="utf-8"))
    (sentence,) = sentences
    assert sentence.startswith(f"{run / name} is ")
    assert f"Damaged: {sentence}" in page.words
    assert not NO_VALUE.findall(page.words.replace(sentence, ""))
    assert "At update 1 the smooth loss is" in page.words
    assert len(page.table("epoch", "update", "smooth loss", "bits per character", "time")) == 2


@pytest.mark.parametrize(("name", "wrong"), [WRONG_FILES[6], WRONG_FILES[11], *WRONG_LINES[::5]])
def test_every_command_reports_damage_in_a_sentence(run, name, wrong):
    """Takes two seconds each: five commands, and two of them train."""
    damage(run, name, wrong)
    assert str(run / name) in output_of("report", run)
    output_of("control", run, "pause")
    output_of("resume", run)
    output_of("sample", run, "--length", "5")
    assert "Traceback" not in output_of("resume", run, "--epochs", "3", "--allow-older")


def test_a_report_shows_the_gradient_checks_that_are_intact(run):
    checks = json.loads((run / "gradcheck.json").read_text())["checks"]
    wrong = json.loads(json.dumps(checks[0]))
    wrong["rows"][0]["absolute"] = "small"
    (run / "gradcheck.json").write_bytes(canonical_json({"checks": [wrong, *checks], "format": 1}))
    stored = read_checks(run)
    assert [check.to_dict() for check in stored.checks] == checks
    assert "1 of 2 gradient checks cannot be read" in stored.damage
    sentences = []
    page = Page(write_report(run, on_message=sentences.append).read_text(encoding="utf-8"))
    assert sentences == [stored.damage]
    assert "The gradient that backpropagation through time computes is right" in page.words


def edited(check, path, value):
    """Return the JSON values of a gradient check with another value at `path`."""
    plain = json.loads(json.dumps(check))
    inner = plain
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return plain


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows",), []), (("rows",), {}), (("rows",), None), (("steps",), []),
        (("steps",), [0.0] * 8), (("steps",), [1.0]), (("settings",), []),
        (("settings", "hidden_size"), "3"), (("settings", "hidden_size"), -3),
        (("settings", "hidden_size"), 10**400), (("settings", "dtype"), "float8"),
        (("settings", "sigma"), None), (("settings", "more"), 1),
        (("rows", 0, "parameter"), "$\\frac{"), (("rows", 0, "parameter"), None),
        (("rows", 0, "norm_limit"), 0.0), (("rows", 0, "norm_limit"), None),
        (("rows", 0, "curve"), [1.0]), (("rows", 0, "curve"), 3),
        (("rows", 0, "checked"), 99), (("rows", 0, "checked"), 1.5),
        (("rows", 0, "worst", "index"), ["x"]), (("rows", 0, "worst"), []),
        (("rows", 0, "central", "step"), 0.0), (("rows", 0, "central", "step"), -1.0),
        (("rows", 0, "elementwise"), "1e-3"), (("rows", 0, "elementwise_limit"), 0.0),
    ],
)  # fmt: skip
def test_a_gradient_check_that_cannot_be_shown_is_left_out(run, path, value):
    (check,) = json.loads((run / "gradcheck.json").read_text())["checks"]
    (run / "gradcheck.json").write_text(json.dumps({"checks": [edited(check, path, value)]}))
    stored = read_checks(run)
    assert stored.begun
    assert stored.checks == ()
    assert "1 of 1 gradient checks cannot be read" in stored.damage


def test_a_number_that_was_not_finite_is_not_damage(run):
    (check,) = json.loads((run / "gradcheck.json").read_text())["checks"]
    plain = edited(edited(check, ("rows", 0, "elementwise"), None), ("rows", 0, "curve", 0), None)
    (run / "gradcheck.json").write_text(json.dumps({"checks": [plain]}))
    assert read_checks(run).damage == ""
    assert "not a number" in Page(write_report(run).read_text(encoding="utf-8")).words


def test_a_run_without_a_gradient_check_is_not_damaged(run):
    (run / "gradcheck.json").unlink()
    assert read_checks(run).begun is False
    assert read_checks(run).damage == ""


def test_a_passage_that_is_not_a_string_is_damage(run):
    (run / "passage.txt").write_bytes(b"abc\xff")
    assert "byte 3 is not UTF-8" in output_of("report", run)
    with pytest.raises(DamagedError, match=r"passage\.txt is damaged"):
        read_run(run)
    output_of("resume", run)


@pytest.mark.parametrize(
    ("field", "value"),
    [("pid", "7"), ("pid", -1), ("update", "many"), ("update", None), ("updates", 1.5),
     ("heartbeat", "now"), ("heartbeat", None), ("reason", 3), ("state", "happy"), ("state", [])],
)  # fmt: skip
def test_a_status_with_a_field_of_a_wrong_type_is_ignored(run, field, value):
    (run / "status.json").write_text(json.dumps(STATUS))
    assert read_status(run) == Status(**{name: STATUS[name] for name in Status.__annotations__})
    (run / "status.json").write_text(json.dumps({**STATUS, field: value}))
    assert read_status(run) is None


def test_a_config_without_a_version_is_damage(run):
    config = json.loads((run / "config.json").read_text())  # one of before there were seals
    del config["sha256"]
    (run / "config.json").write_text(json.dumps({**config, "format": 1, "version": None}))
    with pytest.raises(DamagedError, match="the version of charloom that made the run"):
        read_settings(run)


def test_lines_written_by_training_are_valid(run):
    for name, fits in (
        ("metrics.jsonl", is_record), ("samples.jsonl", is_sample), ("events.jsonl", is_event),
    ):  # fmt: skip
        assert all(map(fits, file_contents.lines_of(run / name)))


@pytest.mark.parametrize("wrong", ["1", None, True, -1, [1], 1e400])
def test_a_record_with_a_field_of_a_wrong_type_is_invalid(run, wrong):
    record = file_contents.lines_of(run / "metrics.jsonl")[0]
    for field in record:
        assert not is_record({**record, field: wrong}), field
        assert not is_record({name: value for name, value in record.items() if name != field})
    assert not is_record({**record, "update": 1.0})
    assert is_record({**record, "validation_nats": None})
    assert not is_record({**record, "validation_nats": "1"})


@pytest.mark.parametrize(("name", "wrong"), [*WRONG_FILES[::4], *WRONG_LINES[::2]])
def test_the_page_shows_the_run_and_says_what_is_damaged(run, name, wrong):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    damage(run, name, wrong)
    with TestClient(make_app(app_state(run.parent)), base_url=HERE) as client:
        (listed,) = client.get("/api/runs").json()["runs"]
        assert listed["state"] == "finished"
        answers = [
            client.get(f"/api/runs/run{part}") for part in ("", "/records", "/samples", "/events")
        ]
        assert [answer.status_code for answer in answers] == [200] * 4
        damaged = {sentence for answer in answers for sentence in answer.json()["damage"]}
        assert len(damaged) == 1
        assert damaged.pop().startswith(f"{run / name} is ")


def test_a_run_whose_gradient_check_is_damaged_is_checked_again(tmp_path):
    run = tmp_path / "run"
    small = {"hidden_size": 3, "seq_length": 4, "updates": 3, "passage_length": 20}
    charloom.reproduce(string=small_runs.TEXT, run=run, **small)
    (run / "gradcheck.json").write_text('{"checks":[3],"format":1}')
    output = output_of("resume", run, "--updates", "4")
    assert "1 of 1 gradient checks cannot be read" in output
    assert "The gradients are checked again." in output
    assert read_checks(run).checks
    assert read_checks(run).damage == ""
