"""A constant is defined in one module; other modules import it from there."""

import ast
from functools import cache
from pathlib import Path

import charloom

PACKAGE = Path(charloom.__file__).parent

# Names that two modules give to different facts, whose values are equal by chance.
EQUAL_BY_CHANCE = {
    "BLOCK",  # bytes of a text, and of a file of ids
    "CLASSIC",  # a recipe, and a workload
    "LARGEST",  # number in a stored gradient check, and number that a plot can show
    "MOST_NAMES",  # sources in a text's name, and files in a message
}


def constants(source):
    """Yield the name and the value, as text, of each module-level constant in capitals."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target = node.target
        else:
            continue
        if isinstance(target, ast.Name) and target.id.isupper() and len(target.id) > 1:
            yield target.id, ast.unparse(node.value)


def defined_twice(modules):
    """Return the names that two of the modules define with the same value, in order.

    Each module is given as the set of its constants.
    """
    defined, twice = set(), set()
    for module in modules:
        for constant in module:
            (twice if constant in defined else defined).add(constant)
    return sorted({name for name, _ in twice})


@cache
def constants_of_modules():
    """Return the constants of every module."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return [set(constants(path.read_text(encoding="utf-8"))) for path in paths]


def test_no_constant_is_defined_in_two_modules():
    assert [
        name for name in defined_twice(constants_of_modules()) if name not in EQUAL_BY_CHANCE
    ] == []


def test_every_exception_is_still_needed():
    assert [
        name for name in EQUAL_BY_CHANCE if name not in defined_twice(constants_of_modules())
    ] == []


def test_a_planted_duplicate_is_caught():
    planted = ["LIMIT: Final = 5\nOTHER = 1\nlow = 2", "LIMIT = 5  # again\nOTHER = 2\nlow = 2"]
    assert defined_twice([set(constants(source)) for source in planted]) == ["LIMIT"]
    modules = constants_of_modules()
    assert defined_twice([*modules, set(constants('SEAL: Final = "sha256"'))]) == sorted(
        [*defined_twice(modules), "SEAL"]
    )
