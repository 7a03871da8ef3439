"""Figures in the documents say what they were measured on, and tables are those that scripts make."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def text_of(name):
    """A document with single spaces for line breaks."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def benchmark():
    """The module that makes docs/DOCTOR.md."""
    spec = importlib.util.spec_from_file_location(
        "doctor_benchmark", ROOT / "benchmarks" / "doctor.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_doctor_is_what_its_script_makes(benchmark):
    figures = json.loads((ROOT / "docs" / "doctor.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "DOCTOR.md").read_text(encoding="utf-8") == benchmark.render(figures)


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "docs/DOCTOR.md"])
def test_where_a_document_says_how_good_the_doctor_is_it_says_on_whose_mistakes(name):
    text = text_of(name)
    assert re.search(r"98\.8|395", text)
    assert "mistakes that we planted ourselves" in text
    assert re.search(r"(of|on) 40 (mistakes|that)", text.lower())
    assert "26" in text


CLAIMS = {
    "README.md": ("half a minute", "equal bit for bit on", "on both engines"),
    "src/charloom/cli/__init__.py": ("half a minute",),
    "src/charloom/recipes.py": ("whatever the text and the machine", "half a minute"),
    "SPEC.md": ("agree with PyTorch's to 1e-6",),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_that_hold_on_some_machines_only_are_not_made_of_all(name):
    text = text_of(name)
    assert [claim for claim in CLAIMS[name] if claim in text] == []


def test_equal_bits_are_promised_with_their_conditions():
    text = text_of("README.md")
    (promise,) = re.findall(r"equal bit for bit ([^.]*\.)", text)
    for condition in (
        "processor model",
        "instruction set",
        "threads",
        "engine",
        "builds of charloom",
    ):
        assert condition in promise
