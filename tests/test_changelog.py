"""The changelog is grouped by what changed, and within that by what a user does."""

import re
from pathlib import Path

import pytest

CHANGELOG = Path(__file__).parent.parent / "CHANGELOG.md"
KINDS = ["Added", "Changed", "Fixed"]
SUBJECTS = [
    "Install and begin", "Train", "Stop, resume and steer", "Sample and write", "Evaluate",
    "Look inside", "Check gradients", "Serve", "Export and import", "Python", "All commands",
]  # fmt: skip
MOST_LINES = 3


def is_long(lines):
    """Return True if an item has more or longer lines than a reader skims."""
    return len(lines) > MOST_LINES or max(map(len, lines)) > 130


def problems_of(markdown):
    """Return the problems of the groups and the items of a changelog."""
    found = []
    for version in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        kinds = re.split(r"^### ", version, flags=re.MULTILINE)[1:]
        names = [kind.splitlines()[0] for kind in kinds]
        if names != [name for name in KINDS if name in names]:
            found.append(f"the kinds are {names}")
        for kind in kinds:
            loose, *groups = re.split(r"^#### ", kind, flags=re.MULTILINE)
            if re.search(r"^- ", loose, re.MULTILINE):
                found.append(f"an item of {loose.splitlines()[0]} stands in no group")
            subjects = [group.splitlines()[0] for group in groups]
            if subjects != [name for name in SUBJECTS if name in subjects]:
                found.append(f"the groups are {subjects}")
            items = re.findall(r"^- (?:.+\n)+?(?=- |\n|\Z)", kind, re.MULTILINE)
            found += [f"too long: {item[:40]}" for item in items if is_long(item.splitlines())]
    return found


def test_the_changelog_is_grouped_and_its_items_are_short():
    changelog = CHANGELOG.read_text(encoding="utf-8")
    assert problems_of(changelog) == []
    assert len(re.findall("^- ", changelog, re.MULTILINE)) > 90


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("### Fixed\n\n#### Train\n\n- A.\n\n### Added\n\n#### Train\n\n- B.\n", "the kinds are"),
        ("### Added\n\n- A.\n\n#### Train\n\n- B.\n", "stands in no group"),
        ("### Added\n\n#### Serve\n\n- A.\n\n#### Train\n\n- B.\n", "the groups are"),
        ("### Added\n\n#### Trains\n\n- A.\n", "the groups are"),
        ("### Added\n\n#### Train\n\n- A.\n- B\n  b\n  b\n  b.\n", "too long: - B"),
    ],
)  # fmt: skip
def test_a_planted_fault_of_the_changelog_is_caught(body, problem):
    (found,) = problems_of(f"# Changelog\n\n## [1.0.0]\n\n{body}")
    assert problem in found
