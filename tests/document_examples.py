"""Runs the examples of a document as a user would: its shell commands and Python blocks, in their order.

A block ```python is run; with the mark `sketch` it is only compiled. Of a block ```sh, the commands of charloom are
run, and other programs must be in `OTHER_PROGRAMS`. A block ```toml is the specification of a study, which is written
into the file that its mark names. Training runs are cut to a few updates. Texts, runs and files
that an example reads and that do not exist yet are made before it.
"""

import ast
import contextlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.store import read_status
from charloom.studies.spec import parse_spec
from hub_server import hub_environment, hub_server
from waiting import until

TRAINING = ("train", "resume", "reproduce")
ENDS = ("--minutes", "--epochs", "--updates")
# With every character of the prompts in the documents.
TEXT = 30 * (
    "Dear Ada. The question, To be, or not to be, is old.\nIt was Marianne.\n" + small_runs.TEXT
)
# The text files that commands name, in addition to those that Python blocks name.
TEXTS = (
    "book.txt", "other.txt", "chapter1.txt", "chapter2.txt", "diary.txt", "letters/a.txt", "src/a.py",
    "names.txt", "tunes.txt", "recipes.txt", "reviews.csv", "reviews.jsonl",
)  # fmt: skip
NAMES = [f"{a}{b}a" for a in ("Ma", "An", "Le", "Jo") for b in ("ri", "nn", "d", "li", "na")]
# The content of those files that are collections of items.
COLLECTIONS = {
    "names.txt": "\n".join(NAMES * 5),
    "tunes.txt": "\n\n".join(f"X:{n}\n{name}|{name}" for n, name in enumerate(NAMES)),
    "recipes.txt": "\n---\n".join(f"{name}\nand salt" for name in NAMES),
    "reviews.csv": "text,stars\n"
    + "".join(f"good {name},{n % 5}\n" for n, name in enumerate(NAMES)),
    "reviews.jsonl": "".join(f'{{"review": {{"text": "good {name}"}}}}\n' for name in NAMES),
}
# Programs in shell blocks that are not run, and why.
OTHER_PROGRAMS = {
    "sh": "a script of the repository; tests/test_docs.py checks that it exists",
    "pip": "needs a network",
    "docker": "needs Docker and a network",
    "python3": "makes an environment",
    ".": "activates an environment",
    "python": "a program of the repository; tests/test_examples.py runs the examples",
    "cd": "changes the folder of a shell",
    "export": "sets a variable of a shell",
}
MADE_TRIALS = 5
MADE_UPDATES = 3  # of the runs that are made before an example
ADDRESS = "http://127.0.0.1:8421"  # of `charloom serve` in the documents


def blocks(markdown):
    """Return the fenced blocks in order: the language, the rest of the fence's first line, and the block."""
    fence = re.compile(r"^```(\w+)\b *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return [(found[1], found[2].strip(), found[3]) for found in fence.finditer(markdown)]


def commands(script):
    """Return the commands of a shell block in order: the text that is piped in, and the words."""
    found = []
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        piped = ""
        if words[:1] in (["echo"], ["printf"]) and "|" in words:
            end = "\n" if words[0] == "echo" else ""
            piped, words = words[1] + end, words[words.index("|") + 1 :]
        if words:
            found.append((piped, words))
    return found


def named_texts(code):
    """Return the text files that a Python program names."""
    constants = (node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant))
    texts = [text for text in constants if isinstance(text, str) and text.endswith(".txt")]
    return [text for text in texts if not Path(text).is_absolute()]


def shortened(words, updates):
    """Return a command that takes seconds: training ends after `updates` updates, and measurements are few."""
    if words[0] in ("gradcheck", "reproduce") and "--hidden-size" not in words:
        words = [*words, "--hidden-size", "5"]  # the gradient checks of large networks take seconds
    if words[0] == "bench" and "--list" not in words:
        return [*words, "--rounds", "1"]
    if words[0] == "runs" and words[1:2] in (["rm"], ["rename"]) and "--yes" not in words:
        return [*words, "--yes"]  # nobody answers the question
    if words[0] not in TRAINING:
        return words
    kept = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in ENDS and before not in ENDS
    ]
    return [*kept, "--updates", str(updates)]


def make_run(path, text="book.txt", **settings):
    """Train a small run: an LSTM without n-grams, with a validation part."""
    charloom.train(
        text,
        run=path,
        recipe="classic",
        cell="lstm",
        hidden_size=24,
        updates=MADE_UPDATES,
        validation=0.1,
        **settings,
    )


def make_exported(path, **options):
    """Export a small LSTM."""
    model = charloom.train(string=TEXT, recipe="classic", cell="lstm", hidden_size=8, updates=1)
    model.export(path, **options)


def make_example(path):
    """Copy a file of the examples."""
    Path(path).parent.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent.parent / path, path)


def make_template(path):
    """Write a file with a function for the doctor."""
    cell = Path(path).stem.removeprefix("my_")
    CliRunner().invoke(app, ["doctor", "--template", "numpy", "--cell", cell])
    assert Path(path).exists()


def make_class(_):
    """Write the submissions of a class: two in a folder, and the same ones in a zip."""
    for name in ("ada", "bob"):
        Path("handins", name).mkdir(parents=True)
        path = Path("handins", name, "rnn.py")
        CliRunner().invoke(app, ["doctor", "--template", "numpy", "--output", str(path)])
        shutil.copy(path, f"handins/{name}.py")
    shutil.make_archive("handins", "zip", "handins")


def make_specification(path):
    """Write the specification of a small study."""
    settings = f"[settings]\nhidden_size = 4\nupdates = {MADE_UPDATES}\n"
    Path(path).write_text(f'text = "book.txt"\nseeds = 2\n{settings}', encoding="utf-8")


def make_study(path):
    """Run a small study."""
    make_specification("sizes.toml")
    charloom.study("sizes.toml", path, workers=1)


# What an example may name without making it: how each is made if it does not exist.
MADE_BEFORE = {
    "runs": lambda _: make_run("runs/book"),
    "runs/book": make_run,
    "runs/book-1": make_run,
    "runs/book-2": make_run,
    "runs/course": make_run,
    "runs/names": lambda path: make_run(path, text="names.txt", items="lines"),
    "runs/adam": lambda path: make_run(path, optimizer="adam"),
    "lstm.safetensors": lambda path: make_exported(path, to="torch"),
    "book-model": lambda path: make_exported(path, to="hub"),
    "examples/mingru.py": make_example,
    "my_rnn.py": make_template,
    "my_gru.py": make_template,
    "beginnings.txt": lambda path: Path(path).write_text("The \nIt \n", encoding="utf-8"),
    "handins": make_class,
    "sizes.toml": make_specification,
    "studies/sizes": make_study,
}


class Examples:
    """The examples of one document, which run in the present folder.

    Attributes:
        failures: the commands that failed, each with its error output.
    """

    def __init__(self, name):
        self.name = name
        self.failures = []
        self._variables = {"__name__": name}
        self._updates = MADE_UPDATES
        self._address = ADDRESS
        self._open = contextlib.ExitStack()

    def run(self, markdown):
        """Run all examples, and then end the processes that they started."""
        with self._open:
            for text in TEXTS:
                write_text(text)
            for language, mark, code in blocks(markdown):
                if language == "sh":
                    for piped, words in commands(code):
                        self._run_command(words, piped)
                elif language == "python":
                    self._run_python(mark, code)
                elif language == "toml":
                    self._take_specification(mark, code)
            self._close_variables()
        return self.failures

    def _close_variables(self):
        """Close the connections that Python blocks opened, as the end of a program does."""
        for value in self._variables.values():
            if hasattr(value, "close") and not isinstance(value, type):
                value.close()
        self._variables.clear()

    def _run_python(self, mark, code):
        """Run or compile a Python block."""
        assert mark in ("", "sketch"), f"{self.name}: ```python {mark}"
        program = compile(code.replace(ADDRESS, self._address), self.name, "exec")
        if mark != "sketch":
            for text in named_texts(code):
                write_text(text)
            make_missing(re.findall(r"""["']([^"'\n]+)["']""", code), made=code)
            exec(program, self._variables)

    def _take_specification(self, mark, code):
        """Write the specification of a study into the file `mark`, with few updates and trials; without a mark, only check it."""
        few = {"updates": MADE_UPDATES, "judge_every": MADE_UPDATES // 2, "trials": MADE_TRIALS}
        spec = re.sub(
            r"(?m)^(updates|judge_every|trials) = \d+", lambda m: f"{m[1]} = {few[m[1]]}", code
        )
        if mark:
            Path(mark).write_text(spec, encoding="utf-8")
        else:
            text = {"text": "book.txt", "settings": {"updates": MADE_UPDATES}}
            parse_spec({**text, **tomllib.loads(spec)}, Path())

    def _run_command(self, words, piped):
        """Run a command, or check that it is a program that is not run."""
        program, *words = words
        if program != "charloom":
            assert program in OTHER_PROGRAMS, f"{self.name}: {program} {shlex.join(words)}"
            return
        self._updates += 1
        created = [
            word
            for before, word in pairwise(words)
            if before in ("--run", "--output") and words[0] != "resume"
        ]
        make_missing(
            [part for word in words for part in word.partition(":")[::2] if word not in created]
        )
        code, output = self._result(words, piped)
        if code:
            self.failures.append((shlex.join(words), output))

    def _result(self, words, piped):
        """Return the exit code and the error output of a command of charloom."""
        if words[0] == "serve":
            self._serve(words[1:])
            return 0, ""
        if words[0] == "push":
            return self._push(words)
        if words[0] == "control":
            self._train_elsewhere(words[1])
        done = CliRunner().invoke(
            app, shortened(words, self._updates), input=piped, prog_name="charloom"
        )
        return done.exit_code, done.stderr

    def _started(self, *words, **options):
        """Start charloom in another process, which ends with the document."""
        process = self._open.enter_context(
            subprocess.Popen([sys.executable, "-m", "charloom", *words], **options)
        )
        self._open.callback(process.terminate)
        return process

    def _serve(self, words):
        """Start the server of a page, on a free port."""
        pytest.importorskip("fastapi", reason="the extra web is not installed")
        words = ["serve", *words, "--port", "0", "--no-open"]
        process = self._started(*words, stderr=subprocess.PIPE, encoding="utf-8")
        line = process.stderr.readline()
        self._address = re.search(r"http://127\.0\.0\.1:\d+", line)[0]

    def _push(self, words):
        """Run `push` with a server that stands for the hub."""
        pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
        with hub_server() as server:
            done = subprocess.run(
                [sys.executable, "-m", "charloom", *words],
                env=hub_environment(server.url, Path.cwd()),
                capture_output=True,
                encoding="utf-8",
                check=False,
            )
        return done.returncode, done.stderr

    def _train_elsewhere(self, run):
        """Train a run in another process, if none does."""
        if read_status(Path(run)).state not in ("training", "paused"):
            self._started("resume", run, "--updates", "10000000", stdout=subprocess.DEVNULL)
            until(lambda: read_status(Path(run)).state == "training")


def write_text(name):
    """Write a text file if it does not exist."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(COLLECTIONS.get(name, TEXT), encoding="utf-8")


def make_missing(names, made=""):
    """Make the files and runs in `MADE_BEFORE` that an example names, unless they exist or the code `made` makes them."""
    for name in names:
        if name in MADE_BEFORE and not Path(name).exists() and f'run="{name}"' not in made:
            MADE_BEFORE[name](name)


def run_examples(name, markdown):
    """Run the examples of a document in the present folder. Return the commands that failed, each with its output."""
    return Examples(name).run(markdown)
