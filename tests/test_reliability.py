"""The table of promises is what the checkers reached, and every promise has its tests."""

import copy
from pathlib import Path

from reliability import promises, table

ROOT = Path(__file__).parent.parent


def test_the_table_is_made_of_the_figures():
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


def test_every_figure_belongs_to_a_promise():
    assert set(table.read_figures()) <= set(promises())
