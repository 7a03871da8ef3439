"""The table of promises has the stored figures, and every promise has tests."""

import copy
import os
import subprocess
import sys
import types
from pathlib import Path

from checkers_skipped import skip_where_a_process_cannot_be_copied
from reliability import __main__ as command
from reliability import promises, table
from reliability.processes import Forked

ROOT = Path(__file__).parent.parent


def test_the_table_in_the_document_is_made_from_the_stored_figures():
    assert table.TABLE.read_text(encoding="utf-8") == table.render(
        table.read_figures(), promises()
    ), "run sh scripts/reliability --table"


def test_a_figure_that_was_changed_by_hand_is_noticed():
    kept = table.read_figures()
    name, scale = next((name, scale) for name, scales in kept.items() for scale in scales)
    planted = copy.deepcopy(kept)
    planted[name] = {"long": planted[name][scale]}
    figures = planted[name]["long"]["figures"]
    figures[next(iter(figures))] = "planted"
    assert table.render(planted, promises()) != table.TABLE.read_text(encoding="utf-8")


def test_every_promise_is_one_sentence_with_tests_that_plant_a_fault():
    numbers = [module.NUMBER for module in promises().values()]
    assert numbers == sorted(set(numbers))
    for name, module in promises().items():
        assert module.PROMISE.endswith(".")
        assert module.__doc__
        tests = (ROOT / "tests" / f"test_reliability_{name}.py").read_text(encoding="utf-8")
        assert "pytest.raises(AssertionError" in tests, f"{name}: no planted fault"


def planted(monkeypatch, tmp_path, check, *words):
    """Run the command with a promise that `check` checks. Return the exit code and the text of the table."""
    module = types.SimpleNamespace(
        NUMBER=1, PROMISE="It holds.", MINUTES={"short": 1, "long": 60}, check=check
    )
    monkeypatch.setattr(table, "FIGURES", tmp_path / "figures.json")
    monkeypatch.setattr(table, "TABLE", tmp_path / "TABLE.md")
    monkeypatch.setattr(command, "promises", lambda: {"it": module, "that": kept_promise()})
    monkeypatch.setattr(sys, "argv", ["reliability", *words])
    code = command.main()
    return code, (tmp_path / "TABLE.md").read_text(encoding="utf-8")


def kept_promise():
    """Return a promise whose check passes."""
    return types.SimpleNamespace(NUMBER=2, PROMISE="So does that.", check=lambda scale: {"seen": 7})


def test_a_broken_promise_is_reported_instead_of_its_old_figures(monkeypatch, tmp_path):
    code, table_text = planted(monkeypatch, tmp_path, lambda scale: {"found": 3})
    assert (code, "found 3" in table_text, command.version() in table_text) == (0, True, True)

    def broken(scale):
        raise AssertionError("a | was\nlost")

    code, table_text = planted(monkeypatch, tmp_path, broken)
    assert code == 1
    assert "**BROKEN**: AssertionError: a \\| was lost" in table_text
    assert "found 3" not in table_text


def test_after_any_error_of_a_checker_the_next_promise_is_checked(monkeypatch, tmp_path):
    code, table_text = planted(monkeypatch, tmp_path, lambda scale: {"found": 1 / 0})
    assert code == 1
    assert "**BROKEN**: ZeroDivisionError" in table_text
    assert "seen 7" in table_text


def test_a_shortened_check_is_not_stored_as_a_long_check(monkeypatch, tmp_path):
    code, table_text = planted(monkeypatch, tmp_path, lambda scale, minutes=60: {"minutes": minutes}, "--minutes", "2", "--only", "it")  # fmt: skip
    assert (code, "minutes 2" in table_text, ", shortened, " in table_text) == (0, True, True)
    assert ", long, " not in table_text


def test_the_checkers_refuse_to_run_without_assertions():
    done = subprocess.run([sys.executable, "-O", "-m", "reliability", "--table"], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    assert "not run" in done.stderr


def test_without_fork_the_tests_of_the_checkers_are_skipped(monkeypatch):
    marks = []
    items = [
        types.SimpleNamespace(
            path=Path(name), add_marker=lambda mark, name=name: marks.append(name)
        )
        for name in ("test_reliability_kills.py", "test_journal.py")
    ]
    skip_where_a_process_cannot_be_copied(items)
    assert marks == []
    monkeypatch.delattr(os, "fork")
    skip_where_a_process_cannot_be_copied(items)
    assert marks == ["test_reliability_kills.py"]


def test_every_figure_belongs_to_a_promise():
    assert set(table.read_figures()) <= set(promises())


def test_a_process_with_much_output_is_not_blocked():
    process = Forked(lambda tell: sys.stderr.write("a line that nobody reads\n" * 20_000))
    assert process.code(60) == 0
    assert process.close().count("\n") == 20_000
