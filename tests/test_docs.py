"""The documents are true: their citations, names, examples and commands are checked.

In ```sh blocks, each `charloom` command may have only options that exist. tests/test_document_examples.py runs
the examples.
"""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
import typer.main

from charloom.cli import app
from charloom.config import Config
from charloom.errors import DamagedError
from charloom.hidden_units.text_properties import PROPERTIES
from charloom.model import new_learner
from charloom.random import PURPOSES
from charloom.store import canonical_json, read_control, read_status
from charloom.store.checkpoint_directory import FILES, MANIFEST, STATE, manifest_of
from charloom.store.format_versions import (
    CONFIG_FORMAT,
    CONTROL_FORMAT,
    LEARNING_RATES_FORMAT,
    MODEL_FORMAT,
    STATE_FORMAT,
    STATUS_FORMAT,
)
from charloom.store.model_file import parse_config, parse_vocabulary
from charloom.store.run_settings import read_settings
from charloom.store.training_state import COUNTERS, read_state
from charloom.text import Vocabulary
from charloom.training import Record
from test_architecture import FLOORS

ROOT = Path(__file__).parent.parent
COMMANDS = typer.main.get_command(app).commands
MATHEMATICS, FORMATS, SERVER = (
    f"docs/spec/{name}.md" for name in ("mathematics", "formats", "server")
)
SPECIFICATION = [MATHEMATICS, FORMATS, SERVER]
DOCUMENTS = [
    "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/gradient-checking.md",
    "docs/backpropagation-by-hand.md", "docs/modules.md", "docs/adding.md", "docs/native-engine.md", "docs/page.md", *SPECIFICATION,
    *(f"docs/guides/{path.name}" for path in sorted((ROOT / "docs" / "guides").glob("*.md"))),
]  # fmt: skip
SOURCES = [
    path
    for folder in ("src", "cpp", "tests", "scripts", "benchmarks", "examples", "reliability")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".pyi", ".hpp", ".cpp") and path != Path(__file__)
]


def read(name):
    """Return the text of a document."""
    return (ROOT / name).read_text(encoding="utf-8")


def headings(markdown):
    """Return the titles of all sections, without lines in code blocks."""
    prose = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return [title.strip() for title in re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)]


def section(markdown, title):
    """Return the text under a heading, up to the next heading."""
    found = re.search(
        rf"^#+ {re.escape(title)}$(.*?)(?=^#+ |\Z)", markdown, re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no section {title!r}"
    return found[1]


def blocks(markdown, language):
    """Return the fenced blocks of a language as pairs: the rest of the fence's first line, and the block."""
    fence = re.compile(rf"^```{language}\b *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(found[1].strip(), found[2]) for found in fence.finditer(markdown)]


# Citations

CITATION = re.compile(r"(?:spec/(\w+)\.md|SPEC(?:\.md)?): ?")
TITLES = re.compile(r"[A-Z][A-Za-z -]*(?:; [A-Z][A-Za-z -]*)*")


def cited(source):
    """Return the sections that a source cites, as pairs of file and title.

    Citations have the form `spec/server.md: This one` or `spec/server.md: This one; That one`. For a citation
    without a file or a title, the pair is "" and its first characters.
    """
    joined = re.sub(r"\s*\n\s*(?://|#)?\s*", " ", source)
    found = []
    for start in CITATION.finditer(joined):
        titles = TITLES.match(joined, start.end())
        if titles and start[1]:
            found += [(start[1], title) for title in titles[0].strip().split("; ")]
        else:
            found.append(("", joined[start.start() :][:40]))
    return found


def missing_citations(source, titles):
    """Return the cited sections that do not exist. `titles` are the sections of each file."""
    return [title for file, title in cited(source) if title not in titles.get(file, [])]


def sections_of_the_specification():
    """Return the titles of the sections of each file of the specification."""
    return {Path(name).stem: headings(read(name)) for name in SPECIFICATION}


def test_every_cited_section_exists():
    titles = sections_of_the_specification()
    wrong = {
        str(path.relative_to(ROOT)): missing
        for path in [*SOURCES, *(ROOT / name for name in DOCUMENTS)]
        if (missing := missing_citations(path.read_text(encoding="utf-8"), titles))
    }
    assert wrong == {}
    assert sum(len(cited(path.read_text(encoding="utf-8"))) for path in SOURCES) > 10


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ('"""Cells (spec/mathematics.md: The plain cell)."""', []),
        ("// (spec/mathematics.md: The network; The native engine).", []),
        ("# by the rule (spec/mathematics.md: The\n# network) here", []),
        ("docs/spec/formats.md: Records. Losses are nats", []),
        ("(spec/mathematics.md: The plan cell)", ["The plan cell"]),
        ("// (spec/mathematics.md: The network; The naive engine)", ["The naive engine"]),
        ("spec/mathematics.md: §4", ["spec/mathematics.md: §4"]),
        ("(spec/mathematics.md: Records)", ["Records"]),
        ("(spec/maths.md: The network)", ["The network"]),
        ("(SPEC: The network)", ["SPEC: The network)"]),
        ("SPEC.md: Records", ["SPEC.md: Records"]),
    ],
)
def test_a_planted_citation_is_caught(source, missing):
    titles = {
        "mathematics": ["The plain cell", "The network", "The native engine"],
        "formats": ["Records"],
    }
    assert missing_citations(source, titles) == missing


def test_the_titles_of_the_specification_are_all_different():
    titles = [title for found in sections_of_the_specification().values() for title in found]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("name", SPECIFICATION)
def test_each_file_of_the_specification_has_one_title_and_contents_that_name_every_section(name):
    spec = read(name)
    prose = re.sub(r"^```.*?^```$", "", spec, flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^# ", prose, re.MULTILINE)) == 1
    linked = re.findall(r"\[([^\]]+)\]\(#", spec.split("\n## ")[0])
    assert linked == headings(spec)[1:]


def missing_references(markdown):
    """Return the sections that a file of the specification refers to as `section X` but does not have."""
    words = " ".join(markdown.split())
    named = re.findall(r"\b[Ss]ection ((?:[A-Z][a-z]*)(?: [A-Za-z-]+)*)", words)
    titles = headings(markdown)
    return [
        start
        for start in named
        if not any(start == title or start.startswith(f"{title} ") for title in titles)
    ]


@pytest.mark.parametrize("name", SPECIFICATION)
def test_every_section_that_the_specification_names_without_a_link_is_in_the_same_file(name):
    assert missing_references(read(name)) == []


def test_a_planted_reference_is_caught():
    planted = "# A\n## The network\nas section The network has it (section\nThe net) [B](b.md)"
    assert missing_references(planted) == ["The net"]


# Links and files


def broken_links(name, markdown):
    """Return the links within the repository whose file or section does not exist."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", markdown):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        if not path.exists():
            found.append(target)
        elif anchor and path.suffix == ".md":
            titles = headings(markdown if not file else path.read_text(encoding="utf-8"))
            anchors = [re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles]
            found += [] if anchor in anchors else [target]
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_has_a_target(name):
    assert broken_links(name, read(name)) == []


def test_a_planted_link_is_caught():
    planted = "# A\n[a](README.md) [b](READ.md) [c](#a) [d](#d) [e](https://x.org) [f](README.md#f)"
    assert broken_links("README.md", planted) == ["READ.md", "#d", "README.md#f"]


def test_the_floors_in_the_architecture_document_are_those_of_the_import_rules():
    rows = [set(re.findall(r"`(\w+)`", row[0])) for row in table("The floors", "ARCHITECTURE.md")]
    assert rows == [floor for floor in FLOORS if not floor & {"_native", "__main__"}]


def test_the_architecture_document_is_short():
    assert len(read("ARCHITECTURE.md").splitlines()) <= 150


PLACES = re.compile(r"`((?:src|cpp|tests|scripts|docs|benchmarks|examples)/[\w./-]+|test_\w+)`")


def missing_places(markdown):
    """Return the paths of the repository and the names of tests that a document gives but that do not exist."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    places = PLACES.findall(markdown)
    return [
        place
        for place in places
        if (f"def {place}(" not in tests if "/" not in place else not (ROOT / place).exists())
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_and_test_that_a_document_names_exists(name):
    assert missing_places(read(name)) == []


def test_a_planted_path_is_caught():
    planted = (
        "`tests/oracle.py` `tests/oracles.py` `test_a_planted_path_is_caught` `test_nothing_of`"
    )
    assert missing_places(planted) == ["tests/oracles.py", "test_nothing_of"]


def test_the_changelog_names_every_command():
    assert [name for name in COMMANDS if f"`{name}`" not in read("CHANGELOG.md")] == []


# Commands

SEPARATORS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}


def commands_in(script):
    """Return the commands of a shell block, each as a list of words."""
    joined = script.replace("\\\n", " ")
    found = []
    for line in joined.splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True  # else FILE.py:FUNCTION is three words
        words, redirected = [], False
        for word in lexer:
            if word in SEPARATORS:
                found.append(words)
                words, redirected = [], word in ("<", ">", ">>")
            elif redirected:
                redirected = False  # a file, no word of a command
            else:
                words.append(word)
        found.append(words)
    return [words for words in found if words]


def problems_of(words):
    """Return the problems of one command of charloom or one script of the repository."""
    program, *rest = words
    if program == "sh":
        return [] if (ROOT / rest[0]).is_file() else [f"there is no {rest[0]}"]
    if program != "charloom":
        return []
    if not rest or rest[0] not in COMMANDS:
        return [] if rest in (["--help"], ["-h"]) else [f"charloom has no command {rest[:1]}"]
    command, rest = COMMANDS[rest[0]], rest[1:]
    while hasattr(command, "commands") and not {"--help", "-h"} & set(rest[:1]):
        named = rest[:1] if rest and rest[0] in command.commands else [command.default]
        command, rest = command.commands[named[0]], rest[rest[:1] == named :]
    known = {option: p for p in command.params for option in (*p.opts, *p.secondary_opts)}
    problems, places = [], []
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if not word.startswith("-"):
            places.append(word)
        elif word not in known:
            if word not in ("--help", "-h"):
                problems.append(f"{words[1]} has no option {word}")
        elif not known[word].is_flag and not value:
            if not rest:
                problems.append(f"{word} lacks its value")
            rest = rest[1:]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    least = sum(p.required for p in arguments)
    most = float("inf") if any(p.nargs < 0 for p in arguments) else len(arguments)
    if not least <= len(places) <= most and not {"--help", "-h"} & set(words):
        problems.append(f"{words[1]} takes {least} to {most} arguments, not {places}")
    return problems


def command_problems(markdown):
    """Return the problems of the commands in a document."""
    return [
        problem
        for _, script in blocks(markdown, "sh")
        for words in commands_in(script)
        for problem in problems_of(words)
    ]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_commands_in_the_documents_exist_with_their_options(name):
    assert command_problems(read(name)) == []


def test_the_commands_and_options_in_help_examples_exist():
    for name, command in COMMANDS.items():
        examples = re.findall(r"^ *(charloom .*)$", command.help, re.MULTILINE)
        assert examples, f"the help of {name} shows no example"
        for example in examples:
            assert [p for words in commands_in(example) for p in problems_of(words)] == []


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("charloom trian book.txt", "no command ['trian']"),
        ("charloom train book.txt --epocs 3", "train has no option --epocs"),
        ("charloom train book.txt \\\n  --epochs", "--epochs lacks its value"),
        ("cat x | charloom sample > out.txt  # all of it", "sample takes 1 to 1 arguments"),
        ("charloom info extra --json", "info takes 0 to 0 arguments, not ['extra']"),
        ("charloom runs a b", "runs takes 0 to 1 arguments"),
        ("charloom runs rm a --jes", "runs has no option --jes"),
        ("charloom runs rename a", "runs takes 2 to 2 arguments, not ['a']"),
        ("sh scripts/tests && echo done", "there is no scripts/tests"),
    ],
)
def test_a_planted_command_is_caught(script, problem):
    (found,) = command_problems(f"```sh\n{script}\n```\n")
    assert problem in found


def test_commands_are_parsed_as_users_write_them():
    script = '$ charloom train a.txt b.txt --run="my run" --json | head\nsh scripts/test -k x\nls'
    assert commands_in("charloom doctor a.py:f&&ls")[0] == ["charloom", "doctor", "a.py:f"]
    assert commands_in(script)[0] == [
        "charloom",
        "train",
        "a.txt",
        "b.txt",
        "--run=my run",
        "--json",
    ]
    assert command_problems(f"```sh\n{script}\n```\n") == []


# The specification's tables and examples


def examples(title):
    """Return the JSON examples in a section of docs/spec/formats.md, as bytes without the newline."""
    return [b.strip().encode() for _, b in blocks(section(read(FORMATS), title), "json")]


def table(title, name):
    """Return the rows of the tables in a section of a document as lists of cells, without the headings."""
    rows = re.findall(r"^\| *(.+?) *\|$", section(read(name), title), re.MULTILINE)
    cells = [re.split(r" *\| *", row) for row in rows]
    return [row for row in cells if row[0].startswith("`")]


def parse_metrics_line(line):
    """Return the record of a line. Assert that the record writes the same bytes."""
    record = Record(**json.loads(line))
    assert record.to_line() == line
    return record


def parse_manifest(data):
    """Return length and SHA-256 by name of a MANIFEST. Assert that the code writes it in the same form."""
    entries = {}
    for line in data.decode("ascii").splitlines():
        digest, length, name = re.fullmatch(r"([0-9a-f]{64}) (0|[1-9]\d*) (\S+)", line).groups()
        entries[name] = (digest, int(length))
    written = b"".join(f"{d} {n} {name}\n".encode() for name, (d, n) in sorted(entries.items()))
    assert (written, tuple(entries)) == (data, FILES)
    return entries


def example_state():
    """Return the example of a state.json."""
    (state,) = examples("Checkpoints")
    return state


def a_learner():
    """Return a learner for the tests of reading."""
    return new_learner(Config(hidden_size=2), Vocabulary("ab"))


def test_the_example_of_a_record_is_a_valid_record():
    record = parse_metrics_line(examples("Records")[0])
    assert record.update == 7
    assert record.characters == 70


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        (b'"seconds":         0.005', b'"seconds":0.005', AssertionError),
        (b'"loss"', b'"Loss"', TypeError),
        (b'"update":7', b'"update":7,"why":0', TypeError),
        (b'"epoch":0.14285714285714285', b'"epoch":0.142857142857142850', AssertionError),
    ],
)
def test_a_planted_error_in_a_record_is_caught(right, wrong, error):
    line = examples("Records")[0]
    assert right in line
    with pytest.raises(error):
        parse_metrics_line(line.replace(right, wrong))


def test_the_example_manifest_describes_the_example_state():
    spec = section(read(FORMATS), "Checkpoints")
    (manifest,) = re.findall(r"^```\n([0-9a-f]{64} .*?)^```$", spec, re.MULTILINE | re.DOTALL)
    state = example_state()
    entries = parse_manifest(manifest.encode())
    assert manifest_of({STATE: state}) in manifest.encode()
    assert entries[STATE][1] == len(state)
    for planted in (manifest.replace(" ", "  ", 1), manifest.upper(), manifest + "\n"):
        with pytest.raises((AssertionError, AttributeError)):
            parse_manifest(planted.encode())
    changed = state.replace(b'"update":98', b'"update":97')
    assert manifest_of({STATE: changed}) not in manifest.encode()


def test_the_example_of_a_state_is_read_by_the_code():
    state, learner = example_state(), a_learner()
    lengths, fingerprint = read_state(state, learner, "the example")
    assert canonical_json(json.loads(state)) == state
    assert learner.update == 98
    assert (sorted(lengths), len(fingerprint)) == (["metrics.jsonl", "samples.jsonl"], 64)
    for right, wrong in ((b'"pending_loss":0.0', b'"pending_loss":0'), (b'"epoch":5,', b"")):
        assert right in state
        with pytest.raises(DamagedError):
            read_state(state.replace(right, wrong), a_learner(), "the planted example")


def test_the_other_examples_are_canonical_and_read_by_the_code(tmp_path):
    (about,) = examples("Runs")
    (tmp_path / "config.json").write_bytes(about)
    settings = read_settings(tmp_path)
    assert (settings.config, settings.text.name) == (Config(), "book.txt")
    assert settings.version == "0.2.0"
    (model,) = examples("Model files")
    values = json.loads(model)
    assert parse_config(values["config"], "the example") == Config()
    assert parse_vocabulary(values["vocabulary"], Config(), "the example").characters[0] == "\n"
    status, control, event = examples("Steering")
    (tmp_path / "status.json").write_bytes(status)
    (tmp_path / "control.json").write_bytes(control)
    assert read_status(tmp_path).state == "finished"
    assert read_control(tmp_path).command == "pause"
    for example in (about, model, status, control, event, examples("Records")[1]):
        assert canonical_json(json.loads(example)) == example


def test_the_table_of_settings_has_every_setting_with_its_default():
    rows = {row[0].strip("`"): json.loads(row[1].strip("`")) for row in table("Settings", FORMATS)}
    assert rows == Config().to_dict()
    assert list(rows) == list(Config().to_dict())


def test_the_table_of_purposes_has_every_purpose_with_its_code():
    assert {
        row[0].strip("`"): int(row[1]) for row in table("Random numbers", MATHEMATICS)
    } == PURPOSES


def test_the_table_of_properties_has_every_property_in_its_order():
    rows = [row[0].strip("`") for row in table("Properties of a text", MATHEMATICS)]
    assert rows == [found.name for found in PROPERTIES]


@pytest.mark.parametrize(
    ("title", "at", "newest"),
    [
        ("Runs", 0, CONFIG_FORMAT),
        ("Searches", 0, LEARNING_RATES_FORMAT),
        ("Checkpoints", 0, STATE_FORMAT),
        ("Model files", 0, MODEL_FORMAT),
        ("Steering", 0, STATUS_FORMAT),
        ("Steering", 1, CONTROL_FORMAT),
    ],
)
def test_the_examples_have_the_format_numbers_that_are_written(title, at, newest):
    assert json.loads(examples(title)[at])["format"] == newest


def test_every_field_of_a_record_and_every_counter_is_described():
    spec = read(FORMATS)
    described = re.findall(r"^- `(\w+)`:", section(spec, "Records"), re.MULTILINE)
    assert sorted(described) == sorted(field.name for field in dataclasses.fields(Record))
    checkpoints = section(spec, "Checkpoints")
    assert [name for name in COUNTERS if f"`{name}`" not in checkpoints] == []
    assert [name for name in (*FILES, MANIFEST) if name not in checkpoints] == []
