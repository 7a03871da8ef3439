"""Sixty submissions of a class: right, wrong, broken and hostile ones, each with the verdict that it must get.

The hostile ones try to harm the others, the teacher's files or the judge. This module does not judge them.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

from plants import PLANTS, source

FUNCTION = "loss_and_gradients"
HEAD = "import os\nimport sys\n\n\ndef loss_and_gradients(params, x, y, h0):\n"
MARK = (
    "left-by-a-submission"  # in the command of each process that a submission tries to leave behind
)


class Handed(NamedTuple):
    """A submission, and what must be said of it.

    Attributes:
        name: the name of its file without .py.
        text: its source.
        verdict: the verdict that it must get.
        says: a text that the headline, the mistakes or the error must contain.
    """

    name: str
    text: str
    verdict: str
    says: str = ""


def right(number):
    """Return right code, whose text differs from that of the other numbers."""
    file = ("loop", "course", "whole")[number % 3]
    return Handed(f"right-{number:02d}", f"# submission {number}\n{source(file)}", "right")


def wrong():
    """Yield submissions with one planted mistake."""
    names = (
        "loop-time-carry-missing", "loop-tanh-derivative-a", "loop-tanh-derivative-missing",
        "loop-index-wraps", "loop-initial-state-dropped", "loop-hidden-bias-not-summed",
        "loop-output-bias-not-summed", "loop-recurrent-gradient-not-summed",
        "loop-input-gradient-repeats-lost", "loop-recurrent-gradient-from-current-state",
        "loop-output-gradient-from-previous-state", "loop-time-carry-reversed",
        "loop-recurrent-gradient-from-last-state", "loop-output-gradient-not-summed",
    )  # fmt: skip
    for name in names:
        plant = next(plant for plant in PLANTS if plant.name == name)
        yield Handed(f"wrong-{plant.name}", source(plant.file, plant), "wrong", plant.id)


BROKEN = (
    Handed("broken-missing", "def forward(x):\n    return x\n", "error", "has no loss_and_gradients"),
    Handed("broken-empty", "", "error", "has no loss_and_gradients"),
    Handed("broken-syntax", "def loss_and_gradients(params:\n    return 1\n", "error", "SyntaxError"),
    Handed("broken-import", "import nothing_like_this\n", "error", "No module named 'nothing_like_this'"),
    Handed("broken-raises", HEAD + "    return 1 / 0\n", "error", "ZeroDivisionError"),
    Handed("broken-none", HEAD + "    return None\n", "error", "None"),
    Handed("broken-recursion", HEAD + "    return loss_and_gradients(params, x, y, h0)\n", "error", "RecursionError"),
    Handed("broken-shapes", HEAD + "    return 0.0, {name: 0.0 for name in 'UWbVc'}\n", "error"),
)  # fmt: skip

BODY = "    T = len(x)\n"


def loop_with(code, *plants):
    """Return the source of right code (wrong with `plants`) that runs `code` at the start of each call."""
    text = source("loop", *plants)
    assert text.count(BODY) == 1
    lines = "".join(f"    {line}\n" for line in code.splitlines())
    return f"import os, sys\n{text.replace(BODY, BODY + lines)}"


def quietly(*lines):
    """Return code that runs lines and ignores every error."""
    inner = "\n".join(f"    {line}" for line in lines)
    return f"try:\n{inner}\nexcept BaseException:\n    pass"


def hostile(folder, outside):
    """Yield hostile submissions.

    `folder` holds all submissions; `outside` is a folder of the teacher that no submission may change.
    """
    missing = next(plant for plant in PLANTS if plant.name == "loop-time-carry-missing")
    victim = f"{folder}/right-00.py"
    yield Handed("hostile-fork-bomb", HEAD + "    while True:\n        try: os.fork()\n        except OSError: pass\n",
                 "error", "did not end within")  # fmt: skip
    yield Handed(
        "hostile-memory",
        HEAD + "    kept = []\n    while True: kept.append(bytearray(200_000_000))\n",
        "error",
    )
    yield Handed(
        "hostile-shared-memory",
        HEAD + "    import mmap\n    kept = []\n    while True:\n        kept.append(mmap.mmap(-1, 50_000_000))\n"
        "        kept[-1].write(b'x' * 50_000_000)\n",
        "error", "MB of memory",
    )  # fmt: skip
    yield Handed(
        "hostile-disk",
        HEAD
        + "    for n in range(100_000):\n        with open(f'big{n}', 'wb') as file: file.write(bytes(8_000_000))\n",
        "error",
    )
    yield Handed("hostile-endless", HEAD + "    while True: pass\n", "error", "did not end within")
    yield Handed(
        "hostile-endless-c", HEAD + "    return max(iter(int, 1))\n", "error", "did not end within"
    )
    yield Handed("hostile-exit", HEAD + "    sys.exit(0)\n", "error", "SystemExit(0)")
    yield Handed("hostile-os-exit", HEAD + "    os._exit(0)\n", "error", "exit code 0")
    yield Handed(
        "hostile-segfault",
        HEAD + "    import ctypes\n    ctypes.string_at(0)\n",
        "error",
        "SIGSEGV",
    )
    yield Handed("hostile-prints", loop_with("print('much ' * 1_000_000)"), "right", "")
    forged = '{"verdict": "right", "passed": true, "outcome": {}, "mistakes": []}'
    yield Handed(
        "hostile-fake-json",
        loop_with(f"print({forged!r}, flush=True)", missing),
        "wrong",
        "time-carry-missing",
    )
    yield Handed(
        "hostile-fake-files",
        HEAD + "    for name in ('outcome.json', '../outcome.json', 'outcome.npz', 'results.json'):\n"
        f"        open(name, 'w').write({forged!r})\n    os._exit(0)\n",
        "error", "exit code 0",
    )  # fmt: skip
    patches = quietly(
        "import json, numpy as np",
        "from charloom.diagnosis import verdict, diagnosis_result",
        "verdict.WRONG = diagnosis_result.WRONG = 'right'",
        "np.allclose = lambda *a, **b: True",
        "diagnosis_result.Row.passed = True",
    )
    yield Handed("hostile-patches", loop_with(patches, missing), "wrong", "time-carry-missing")
    deletes = quietly(
        "import shutil",
        "[os.remove(name) for name in os.listdir('.')]",
        "shutil.rmtree('..', ignore_errors=True)",
    )
    yield Handed("hostile-deletes", loop_with(deletes), "")  # it may only harm itself
    copies = quietly(f"text = open({victim!r}).read()", "scope = {}", "exec(text, scope)",
                     "return scope['loss_and_gradients'](params, x, y, h0)")  # fmt: skip
    yield Handed("hostile-reads-others", loop_with(copies, missing), "wrong", "time-carry-missing")
    writes = quietly(f"open({str(outside / 'written.txt')!r}, 'w').write('x')") + "\n" + quietly(
        f"open({victim!r}, 'a').write('raise SystemExit')"
    ) + "\n" + quietly("open(os.path.expanduser('~/left.txt'), 'w').write('x')")  # fmt: skip
    yield Handed("hostile-writes", loop_with(writes), "right")
    leaves = quietly(
        "import subprocess",
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {MARK!r}], start_new_session=True)",
    )
    yield Handed("hostile-leaves-processes", loop_with(leaves), "right")
    kills = (
        quietly("import signal", "os.kill(1, signal.SIGKILL)")
        + "\n"
        + quietly("os.kill(-1, signal.SIGKILL)")
    )
    yield Handed("hostile-kills", loop_with(kills), "")  # it may only end itself


def sixty(folder, outside):
    """Return the sixty submissions for `folder`; `outside` is a folder that none of them may change."""
    others = [*wrong(), *BROKEN, *hostile(folder, outside)]
    return [*(right(number) for number in range(60 - len(others))), *others]


def hand_in(folder, submissions):
    """Write the submissions to `folder`, a file for each."""
    for one in submissions:
        Path(folder, f"{one.name}.py").write_text(one.text, encoding="utf-8")


def differences(submissions, rows):
    """Return a sentence for each submission whose row is not the expected one.

    `rows` are the submissions of the JSON that `charloom doctor --json` prints.
    """
    found = []
    by_name = {row["name"]: row for row in rows}
    for one in submissions:
        row = by_name.get(one.name)
        if row is None:
            found.append(f"{one.name} has no row")
        elif one.verdict not in ("", row["verdict"]):
            found.append(
                f"{one.name} is {row['verdict']}, not {one.verdict}: {row['reason']} {row['error']}"
            )
        elif one.says not in f"{row['headline']} {row['mistakes']} {row['error']}":
            found.append(f"{one.name} does not say {one.says}: {row['reason']}")
    return found


def processes_with(word):
    """Return the process ids of all processes that have `word` in their command; [] without /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found
