"""The index of the modules is up to date, and each module begins with a sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import index  # noqa: E402


@pytest.mark.parametrize("path", index.modules(ROOT))
def test_every_module_begins_with_a_sentence(path):
    sentence = index.sentence_of(path, (ROOT / path).read_text(encoding="utf-8"))
    assert len(sentence) <= 160, f"{path}: a first sentence of {len(sentence)} characters"


def test_the_index_has_the_first_sentences_of_the_modules():
    kept = (ROOT / index.INDEX).read_text(encoding="utf-8")
    assert kept == index.index(), "docs/modules.md is out of date; run: sh scripts/index"


def test_the_index_names_every_source_of_the_package_and_the_kernels():
    listed = set(index.modules(ROOT))
    sources = [
        path.relative_to(ROOT).as_posix()
        for folder in ("src/charloom", "cpp")
        for path in (ROOT / folder).rglob("*.[pjhc]*")
        if path.suffix in (".py", ".pyi", ".js", ".css", ".hpp", ".cpp")
    ]
    assert set(sources) == {path for path in listed if path.startswith(("src/", "cpp/"))}
    assert len(sources) > 100


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("a.py", '"""Adds.\n\nIt is slow."""', None),
        ("a.py", '"""Adds two numbers.\n\nIt is slow."""', "Adds two numbers."),
        ("a.py", '"""Keeps a run (spec/formats.md: Runs). More."""', "Keeps a run."),
        ("a.py", "import os", None),
        ("a.py", '"""Words without an end"""', None),
        ("a.py", '"""small letters at the start."""', None),
        ("a.js", "// Draws a\n// chart. More.\nimport x;\n", "Draws a chart."),
        ("a.js", "import x;\n// Draws a chart.\n", None),
        ("a.css", "/* How it looks. More. */", "How it looks."),
        (
            "a.hpp",
            "// Adds vectors\n// (spec/mathematics.md: The cells).\n#pragma once\n",
            "Adds vectors.",
        ),
        ("a.cpp", "#include <x>\n", None),
    ],
)
def test_the_first_sentence_of_a_module_is_found(name, source, sentence):
    if sentence is None:
        with pytest.raises(index.NoSentenceError, match=name):
            index.sentence_of(name, source)
    else:
        assert index.sentence_of(name, source) == sentence


def test_the_script_says_that_the_index_is_out_of_date(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "index.py"
    script.write_bytes((ROOT / "scripts" / "index.py").read_bytes())

    def run(*words):
        return subprocess.run(
            [sys.executable, script, *words], capture_output=True, text=True, check=False
        )

    missing = run("--check")
    assert (missing.returncode, missing.stderr) == (
        1, "docs/modules.md is out of date; run: sh scripts/index\n"
    )  # fmt: skip
    assert run().returncode == 0
    assert run("--check").returncode == 0
    (tmp_path / "cpp").mkdir()
    (tmp_path / "cpp" / "new.hpp").write_text("// Adds vectors of floats.\n")
    assert run("--check").returncode == 1
    (tmp_path / "cpp" / "new.hpp").write_text("#pragma once\n")
    unwritten = run()
    assert unwritten.returncode == 1
    assert unwritten.stderr.startswith("cpp/new.hpp begins with ''; it must begin with a sentence")
