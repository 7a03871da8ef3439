"""CITATION.cff has the version, the license, the name and the authors of pyproject.toml."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def differences(citation):
    """Return the facts in CITATION.cff that differ from those of the project, as pairs of name and value."""
    authors = re.findall(r"^  - name: (.+)$", citation, re.MULTILINE)
    facts = dict(re.findall(r"^([a-z-]+): (?!>)(\S.*)$", citation, re.MULTILINE))
    found = {name: facts.get(name, "").strip('"') for name in ("title", "version", "license")}
    found["authors"] = [author.strip('"') for author in authors]
    expected = {
        "title": PROJECT["name"],
        "version": PROJECT["version"],
        "license": PROJECT["license"],
        "authors": [author["name"] for author in PROJECT["authors"]],
    }
    return [(name, value) for name, value in found.items() if value != expected[name]]


def test_the_citation_agrees_with_the_project():
    assert CITATION.startswith("cff-version: 1.2.0\n")
    assert differences(CITATION) == []


@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        (f"\nversion: {PROJECT['version']}\n", "\nversion: 0.0.1\n", "version"),
        ("\nlicense: MIT\n", "\n", "license"),
        ("The charloom developers", "Nobody", "authors"),
    ],
)
def test_a_planted_difference_is_found(right, wrong, name):
    assert right in CITATION
    ((found, _),) = differences(CITATION.replace(right, wrong))
    assert found == name
