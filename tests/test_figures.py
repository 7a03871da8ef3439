"""Figures in the documents say what they were measured on, and scripts make the tables."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GUIDES = [f"docs/guides/{path.name}" for path in sorted((ROOT / "docs" / "guides").glob("*.md"))]


def text_of(name):
    """Return a document with its line breaks replaced by single spaces."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def benchmark():
    """Return the module that makes docs/DOCTOR.md."""
    spec = importlib.util.spec_from_file_location(
        "doctor_benchmark", ROOT / "benchmarks" / "doctor.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_doctors_table_in_the_document_equals_its_scripts_output(benchmark):
    figures = json.loads((ROOT / "docs" / "doctor.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "DOCTOR.md").read_text(encoding="utf-8") == benchmark.render(figures)


@pytest.mark.parametrize("name", ["docs/guides/gradients.md", "CHANGELOG.md", "docs/DOCTOR.md"])
def test_documents_that_rate_the_doctor_say_who_wrote_the_mistakes(name):
    text = text_of(name)
    assert re.search(r"98\.8|395", text)
    assert "mistakes that we planted ourselves" in text
    assert re.search(r"281 (mistakes|that)|\| all \| 281 \|", text)
    assert "173" in text


CLAIMS = {
    **dict.fromkeys(
        ["README.md", *GUIDES], ("half a minute", "equal bit for bit on", "on both engines")
    ),
    "src/charloom/cli/__init__.py": ("half a minute",),
    "src/charloom/recipes.py": ("whatever the text and the machine", "half a minute"),
    "docs/spec/formats.md": ("agree with PyTorch's to 1e-6",),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_documents_do_not_claim_for_all_machines_what_holds_on_some(name):
    text = text_of(name)
    assert [claim for claim in CLAIMS[name] if claim in text] == []


def test_promises_of_equal_bits_state_their_conditions():
    text = text_of("docs/guides/study.md")
    (promise,) = re.findall(r"equal bit for bit ([^.]*\.)", text)
    for condition in (
        "processor model",
        "instruction set",
        "threads",
        "engine",
        "builds of charloom",
    ):
        assert condition in promise


MAKERS = {
    **dict.fromkeys(["README.md", *GUIDES], ("scripts/screenshots.py", "scripts/pictures")),
    "docs/gradient-checking.md": ("scripts/lesson_pictures.py",),
}


def names_made(path):
    """Return the names of the pictures that a script writes."""
    text = (ROOT / path).read_text(encoding="utf-8")
    named = re.findall(r"docs/pictures/([\w-]+)\.svg", text)
    kept = re.findall(r'keep\(page, "([\w-]+)"\)', text)
    drawn = re.findall(r'"(gradient-[\w-]+)"', text)
    return {*named, *kept, *drawn, *(f"{name}-dark" for name in drawn)}


@pytest.mark.parametrize("document", MAKERS)
def test_every_picture_of_a_document_is_made_by_a_script(document):
    shown = set(re.findall(r"pictures/([\w-]+)\.(?:svg|png)", text_of(document)))
    made = set().union(*map(names_made, MAKERS[document]))
    assert shown <= made


def test_every_stored_picture_is_shown_in_a_document():
    kept = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    shown = set(re.findall(r"pictures/([\w.-]+\.(?:svg|png))", "".join(map(text_of, MAKERS))))
    assert kept == shown
