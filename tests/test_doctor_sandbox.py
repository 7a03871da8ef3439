"""Whatever the user's code does, its separate process returns a result or an error."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from charloom.cli import app
from charloom.diagnosis import MISTAKES, doctor
from charloom.diagnosis.process_tree import descendants
from charloom.diagnosis.sandbox import parse_function
from charloom.errors import DoctorError
from plants import CELL, PLANTS, Plant, source
from waiting import until

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc of Linux")
pytestmark = pytest.mark.usefixtures("kept_predictions")

HEAD = "import numpy as np\n\n\ndef f(params, x, y, h0):\n"


def charloom_(*words):
    """Run a command in this process; the words are split as in a shell."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(app, args, prog_name="charloom")


def written(folder, text, name="mine.py"):
    """Write a file of the user, and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder, body, time_limit=30.0):
    """Return the message of the error that a function with this body causes."""
    path = written(folder, HEAD + body)
    with pytest.raises(DoctorError) as caught:
        doctor(f"{path}:f", time_limit=time_limit)
    return str(caught.value)


@pytest.mark.parametrize("file", ["loop", "course", "lstm"])
def test_a_right_file_is_right(file, tmp_path):
    path = written(tmp_path, source(file))
    found = doctor(f"{path}:loss_and_gradients", cell=CELL.get(file, "rnn"))
    assert found.verdict == "right"
    assert str(path) in found.certificate()


# A separate process loads the file again, so it shows best what a function remembers.
CALLS = [
    p
    for p in PLANTS
    if p.id in ("gradients-carried-over", "state-carried-over") and p.file == "loop"
]


@pytest.mark.parametrize("plant", CALLS, ids=lambda plant: plant.name)
def test_a_function_that_remembers_earlier_calls_is_named(plant, tmp_path):
    path = written(tmp_path, source(plant.file, plant))
    assert doctor(f"{path}:loss_and_gradients").mistakes == (plant.id,)


def test_the_error_for_an_exception_shows_only_the_lines_of_the_user(tmp_path):
    message = refused(
        tmp_path,
        "    helper(params)\n\n\ndef helper(params):\n    return params['U'] @ params['U']\n",
    )
    assert f'File "{tmp_path}/mine.py", line 9, in helper' in message
    assert "return params['U'] @ params['U']" in message
    assert "ValueError: matmul" in message
    assert "charloom/" not in message
    assert "H = 4, T = 6, K = 7" in message


def test_the_error_for_an_exception_in_a_package_of_another_environment_lacks_its_lines(tmp_path):
    packages = tmp_path / "base" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "far_away.py").write_text("def fails():\n    raise ValueError('from far away')\n")
    path = tmp_path / "calling.py"
    path.write_text(
        f"import sys\nsys.path.append({str(packages)!r})\nimport far_away\n\n\n"
        "def f(params, x, y, h0):\n    far_away.fails()\n    return 0.0, params\n"
    )
    with pytest.raises(DoctorError) as caught:
        doctor(f"{path}:f")
    assert str(caught.value).count("File ") == 1
    assert 'calling.py", line 7, in f' in str(caught.value)
    assert str(caught.value).endswith("ValueError: from far away")


def test_an_endless_loop_is_ended(tmp_path):
    message = refused(tmp_path, "    while True:\n        pass\n", time_limit=3.0)
    assert (
        "did not end within 3 s of processor time; the step that was still running is the first call"
        in message
    )
    assert "endless loop" in message


def test_much_output_is_not_shown_but_noted(tmp_path):
    flood = Plant(
        "loop", "none", (("    T = len(x)\n", "    T = len(x)\n    print('words ' * 40_000)\n"),)
    )
    found = doctor(f"{written(tmp_path, source('loop', flood))}:loss_and_gradients")
    assert found.verdict == "right"
    assert any("printed" in note for note in found.notes)


@pytest.fixture
def start_doctor():
    """Return a function that starts `charloom doctor FUNCTION` in a process; kill the processes at the end."""
    started = []

    def start(function, **options):
        command = [sys.executable, "-m", "charloom", "doctor", function]
        started.append(subprocess.Popen(command, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@needs_proc
@pytest.mark.parametrize("endless", ["while True: pass", "max(iter(int, 1))"])
def test_an_endless_loop_ends_with_the_doctor(tmp_path, endless, start_doctor):
    """The loop shows that it runs by the name of its process, because it can write no file outside."""
    path = written(
        tmp_path,
        "def f(params, x, y, h0):\n"
        "    open('/proc/self/comm', 'w').write('endless')\n"
        f"    {endless}\n",
    )
    doctor = start_doctor(f"{path}:f", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (pid,) = until(lambda: [p for p in descendants(doctor.pid) if name_of(p) == "endless"])
    doctor.kill()
    doctor.wait()
    until(lambda: not alive(pid))


def test_the_error_for_endless_output_shows_its_last_lines(tmp_path):
    message = refused(
        tmp_path, "    while True:\n        print('the same words')\n", time_limit=3.0
    )
    assert "the same words" in message
    assert len(message) < 1_000


CRASHES = {
    "a crash": ("    import os, signal\n    os.kill(os.getpid(), signal.SIGSEGV)\n", "crashed with SIGSEGV"),
    "killed": ("    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n", "memory is full"),
    "an exit": ("    raise SystemExit(3)\n", r"SystemExit\(3\)"),
    "a hard exit": ("    import os\n    os._exit(3)\n", "exit code 3"),
    "input": ("    input()\n", "EOFError"),
    "endless recursion": ("    return f(params, x, y, h0)\n", "RecursionError"),
    "another exception": ("    class Odd(BaseException): pass\n    raise Odd('odd')\n", "odd"),
}  # fmt: skip


@pytest.mark.parametrize("name", CRASHES)
def test_the_error_for_a_crash_says_how_the_process_ended(name, tmp_path):
    body, sentence = CRASHES[name]
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(refused(tmp_path, body))


@needs_proc
def test_child_processes_of_the_user_code_are_ended_too(tmp_path):
    mark = f"{tmp_path.name}-{os.getpid()}"
    body = (
        "    import subprocess, sys\n"
        f"    command = [sys.executable, '-c', 'import time; time.sleep(600)', {mark!r}]\n"
        "    subprocess.Popen(command, start_new_session=True)\n"
        "    while True: pass\n"
    )
    assert "did not end within 4 s" in refused(tmp_path, body, time_limit=4.0)
    until(lambda: not processes_with(mark))


def processes_with(word):
    """Return the process ids of all processes that have `word` in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def name_of(pid):
    """Return the name that a process gave itself; "" if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return ""


def alive(pid):
    """Return True if a process runs and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_the_error_for_a_file_that_cannot_be_loaded_has_the_line(tmp_path):
    path = written(tmp_path, "def f(:\n")
    with pytest.raises(DoctorError, match=r"(?s)mine\.py.*line 1.*SyntaxError"):
        doctor(f"{path}:f")
    path = written(tmp_path, "import nothing_of_that_name\n")
    with pytest.raises(
        DoctorError, match=r"(?s)imports nothing_of_that_name, which .* put it beside"
    ):
        doctor(f"{path}:f")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("", "write FILE.py:FUNCTION"),
        ("nowhere.py", "does not exist"),
        ("FOLDER/mine.py:a.b.c", "FILE.py:FUNCTION"),
        ("nowhere.py:f", "does not exist"),
        ("FOLDER/mine.txt:f", "must end in .py"),
        ("FOLDER/mine.py:a b", "FILE.py:FUNCTION"),
    ],
)
def test_a_name_that_is_not_a_function_of_a_file_is_refused(given, sentence, tmp_path):
    written(tmp_path, "", "mine.txt")
    with pytest.raises(DoctorError, match=sentence):
        parse_function(given.replace("FOLDER", str(tmp_path)))


def test_the_error_for_an_unknown_function_lists_the_functions_of_the_file(tmp_path):
    path = written(tmp_path, HEAD + "    return 0\n")
    with pytest.raises(DoctorError, match=r"mine\.py has no g; it has f"):
        doctor(f"{path}:g")


def test_a_file_may_import_other_files_of_its_folder(tmp_path):
    written(tmp_path, source("loop"), "network.py")
    path = written(tmp_path, "from network import loss_and_gradients as f\n")
    assert doctor(f"{path}:f").verdict == "right"


# The user's own numerical gradient.

NUMERICAL = """

def loss_of(params, x, y, h0):
    return loss_and_gradients(params, x, y, h0)[0]


def numerical(params, x, y, h0):
    grads = {}
    s = 1e-5
    for name, array in params.items():
        grads[name] = np.zeros_like(array)
        for at in np.ndindex(array.shape):
            old = array[at]
            array[at] = old + s
            plus = loss_of(params, x, y, h0)
            array[at] = old - s
            minus = loss_of(params, x, y, h0)
            array[at] = old
            grads[name][at] = (plus - minus) / (2 * s)
    return grads
"""

NUMERICAL_PLANTS = [
    ("numerical-step-large", "s = 1e-5", "s = 1e-1"),
    ("numerical-step-large", "s = 1e-5", "s = 0.03"),
    ("numerical-step-small", "s = 1e-5", "s = 1e-12"),
    ("numerical-step-small", "s = 1e-5", "s = 1e-11"),
    ("numerical-step-small", "(params, x, y, h0)[0]", "(params, x, y, h0)[0].astype(np.float32)"),
    ("numerical-forward-difference", "(plus - minus) / (2 * s)", "(plus - loss_of(params, x, y, h0)) / s"),
    ("numerical-not-halved", "/ (2 * s)", "/ s"),
    ("numerical-state-differs", "minus = loss_of(params, x, y, h0)", "minus = loss_of(params, x, y, 0 * h0)"),
    ("numerical-state-differs", "plus = loss_of(params, x, y, h0)", "plus = loss_of(params, x, y, 0 * h0)"),
    ("numerical-copy-unused", "array[at] = old + s", "array.copy()[at] = old + s",
     "array[at] = old - s", "array.copy()[at] = old - s"),
    ("numerical-unexplained", "            array[at] = old\n", ""),
]  # fmt: skip


def with_numerical(*edits):
    """Return a right network and a numerical gradient with edits."""
    text = NUMERICAL
    for old, new in zip(edits[::2], edits[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    module = {}
    exec(compile(source("loop") + text, "mine.py", "exec"), module)
    return module["loss_and_gradients"], module["numerical"]


@pytest.mark.parametrize("step", ["1e-4", "1e-5", "1e-6", "1e-7"])
def test_a_good_numerical_gradient_is_good(step):
    right, numerical = with_numerical("s = 1e-5", f"s = {step}")
    found = doctor(right, numerical=numerical)
    assert (found.verdict, found.mistakes) == ("right", ())
    assert all(row.passed for row in found.numerical)
    assert len(found.numerical) == 10
    (note,) = (note for note in found.notes if "numerical" in note)
    off = max(row.norm_relative for row in found.numerical if row.parameter != "loss")
    assert note == f"your numerical gradient is right too; its largest error is {off:.0e}."


@pytest.mark.parametrize(
    "planted", NUMERICAL_PLANTS, ids=lambda planted: f"{planted[0]} {planted[2]}"
)
def test_a_mistake_in_a_numerical_gradient_is_named(planted):
    right, numerical = with_numerical(*planted[1:])
    found = doctor(right, numerical=numerical)
    assert (found.verdict, found.mistakes) == ("wrong", (planted[0],))
    assert found.headline().startswith("Your gradient is right; your numerical gradient is wrong")


@pytest.mark.parametrize("step", ["1e-09", "1e-10", "1e-11", "1e-12"])
def test_the_step_of_a_numerical_gradient_that_is_too_small_is_named(step):
    right, numerical = with_numerical("s = 1e-5", f"s = {step}")
    (mistake,) = doctor(right, numerical=numerical).found
    assert mistake.variant == f"s ≈ {step}"


def test_every_mistake_of_a_numerical_gradient_is_planted():
    assert {m.id for m in MISTAKES if m.kind == "numerical"} == {p[0] for p in NUMERICAL_PLANTS}


def test_a_wrong_gradient_and_a_wrong_numerical_gradient_are_both_named():
    text = source("loop", next(p for p in PLANTS if p.name == "loop-index-wraps")) + NUMERICAL
    module = {}
    exec(compile(text.replace("/ (2 * s)", "/ s"), "mine.py", "exec"), module)
    found = doctor(module["loss_and_gradients"], numerical=module["numerical"])
    assert found.mistakes == ("index-wraps", "numerical-not-halved")


# The command.


def test_the_command_shows_verdict_reason_table_and_picture(tmp_path):
    plant = next(p for p in PLANTS if p.name == "loop-time-carry-missing")
    path = written(tmp_path, source("loop", plant))
    done = charloom_("doctor", f"{path}:loss_and_gradients")
    assert done.exit_code == 1
    assert done.stdout.startswith(
        "Wrong, and this is why: no gradient flows back from step t+1 to step t.\n"
    )
    for part in (
        "time-carry-missing",
        "(docs/spec/mathematics.md, The network)",
        "    to fix it  loop from t = T down to 1",
        "do     ·  ·  ·  ·  ·",
    ):
        assert part in done.stdout, part
    lines = [line for line in done.stdout.splitlines() if line]
    assert len(set(lines)) == len(lines)
    assert done.stdout.count("no gradient flows back") == 1  # the headline has the title already
    (heading,) = [line for line in lines if "wrong in" in line]
    assert re.split(" {2,}", heading.strip()) == [
        "wrong in", "relative error", "in the trial", "worst entry", "yours", "right",
    ]  # fmt: skip
    (shown,) = [line.split() for line in lines if line.startswith("dc ")]
    assert shown[:4] == ["dc", "0", "of", "12"]  # no entry of what is right
    assert len(shown) == 5
    assert re.search(r"da     [^·]  [^·]  [^·]  [^·]  ·", done.stdout)
    assert "charloom doctor:" not in done.stdout


def test_what_the_headline_says_is_not_said_again(tmp_path):
    """Every gradient is wrong in a way that is not known."""
    text = source("loop") + (
        "\n\nbase = loss_and_gradients\n\n\ndef loss_and_gradients(params, x, y, h0):\n"
        "    loss, found = base(params, x, y, h0)\n"
        "    return loss, {k: np.tanh(v) + 0.3 * np.sin(7 * params[k]) for k, v in found.items()}\n"
    )
    result = doctor(f"{written(tmp_path, text)}:loss_and_gradients")
    sums = "dU, dW, db, dV and dc are summed wrongly over the steps, although your da and do are right."
    assert result.headline() == f"Wrong: {sums}"
    assert not any("the sum" in clue for clue in result.hints)
    assert result.to_dict()["clues"] == list(result.hints)


def test_the_difference_of_a_network_has_labels_of_its_own(tmp_path):
    text = source("loop") + (
        "\n\nbase = loss_and_gradients\n\n\ndef loss_and_gradients(params, x, y, h0):\n"
        "    loss, found = base(params, x, y, h0)\n"
        "    return loss / len(x), {k: v / len(x) for k, v in found.items()}\n"
    )
    done = charloom_("doctor", f"{written(tmp_path, text)}:loss_and_gradients")
    assert [line for line in done.stdout.splitlines() if line.startswith("    to match it    ")]
    assert [line for line in done.stdout.splitlines() if line.startswith("    specification  ")]


def test_a_right_function_gets_a_certificate_and_exit_code_0(tmp_path):
    path = written(tmp_path, source("loop"))
    done = charloom_("doctor", f"{path}:loss_and_gradients")
    assert (done.exit_code, done.stdout[:6]) == (0, "Right:")
    assert "is right (rnn, float64): twelve trials with H 3–20, T 1–26" in done.stdout
    assert "no window longer than 26 steps" in done.stdout
    assert "wrong in" not in done.stdout
    whole = charloom_("doctor", f"{path}:loss_and_gradients", "--table").stdout
    assert "wrong in" in whole
    assert "· right" in whole


def test_a_terminal_shows_that_the_command_waits_for_the_function(tmp_path, start_doctor):
    """The function returns only after the terminal has shown the line, however long that takes."""
    seen = tmp_path / "seen"
    wait = f"    T = len(x)\n    import os, time\n    while not os.path.exists({str(seen)!r}): time.sleep(0.01)\n"
    slow = Plant("loop", "none", (("    T = len(x)\n", wait),))
    path = written(tmp_path, source("loop", slow))
    terminal, theirs = os.openpty()
    doctor = start_doctor(
        f"{path}:loss_and_gradients",
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = []
    reader = threading.Thread(target=read_all, args=(terminal, shown))
    reader.start()
    try:
        line = b"waiting for mine.py:loss_and_gradients, which is stopped after 60 s"
        until(lambda: line in b"".join(shown), seconds=50)
        seen.touch()
        assert doctor.communicate(timeout=60)[0].startswith(b"Right:")
        assert doctor.returncode == 0
    finally:
        doctor.kill()  # the reader ends when no process has the terminal open
        reader.join()
        os.close(terminal)


def read_all(terminal, shown):
    """Append all output of a terminal to a list, until no process has the terminal open."""
    with contextlib.suppress(OSError):
        while block := os.read(terminal, 4096):
            shown.append(block)


def test_without_a_terminal_the_command_prints_nothing_while_it_waits(tmp_path):
    path = written(tmp_path, source("loop"))
    done = charloom_("doctor", f"{path}:loss_and_gradients")
    assert (done.exit_code, done.stderr) == (0, "")


def test_json_has_verdict_and_mistakes(tmp_path):
    plant = next(p for p in PLANTS if p.name == "loop-tanh-derivative-a")
    path = written(tmp_path, source("loop", plant))
    done = charloom_("doctor", f"{path}:loss_and_gradients", "--json")
    data = json.loads(done.stdout)
    assert (done.exit_code, data["verdict"], data["mistakes"]) == (1, "wrong", ["tanh-derivative"])


def test_an_exception_has_exit_code_2_and_no_traceback_of_charloom(tmp_path):
    path = written(tmp_path, HEAD + "    return 1 / 0\n")
    done = charloom_("doctor", f"{path}:f")
    assert done.exit_code == 2
    assert "ZeroDivisionError" in done.stderr
    assert "charloom/doctor" not in done.stderr
    assert charloom_("doctor").exit_code == 2


def test_list_names_every_mistake():
    listed = charloom_("doctor", "--list").stdout
    assert [line.split()[0] for line in listed.splitlines()] == [m.id for m in MISTAKES]
    data = json.loads(charloom_("doctor --list --json").stdout)
    assert {one["id"] for one in data} == {m.id for m in MISTAKES}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("numpy", "loss_and_gradients"), ("course", "loss_and_gradients"), ("torch", "Model")],
)
def test_a_template_is_right_and_is_never_overwritten(kind, name, tmp_path):
    path = tmp_path / "mine.py"
    assert charloom_("doctor", "--template", kind, "--output", path).exit_code == 0
    kept = path.read_text(encoding="utf-8")
    again = charloom_("doctor", "--template", kind, "--output", path)
    assert (again.exit_code, path.read_text(encoding="utf-8")) == (2, kept)
    if kind == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    form = {"numpy": "natural", "course": "course", "torch": "torch"}[kind]
    assert doctor(f"{path}:{name}", form=form).verdict == "right"


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_the_printed_command_finds_the_template_of_a_cell_right(kind, cell, tmp_path):
    if kind == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "mine.py"
    done = charloom_("doctor", "--template", kind, "--cell", cell, "--output", path)
    line = (done.stdout + done.stderr).partition("check it with: charloom ")[2].split()
    assert line[-2:] == ["--cell", cell]
    judged = charloom_(*line)
    assert judged.exit_code == 0, judged.stdout
    assert f"is right ({cell}, float64)" in judged.stdout


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_course_has_templates_only_for_rnn(cell, tmp_path):
    done = charloom_("doctor --template course --cell", cell, "--output", tmp_path / "mine.py")
    assert done.exit_code == 2
    assert f"--template numpy --cell {cell}" in " ".join(done.stderr.split())
    assert not (tmp_path / "mine.py").exists()


def test_a_given_cell_must_be_that_of_the_module(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "mine.py"
    assert charloom_("doctor --template torch --output", path).exit_code == 0
    done = charloom_("doctor", f"{path}:Model", "--cell", "lstm")
    assert done.exit_code == 2
    assert "has a plain recurrent network, but --cell is lstm" in " ".join(done.stderr.split())


def test_gates_in_another_order_are_right_if_the_user_gives_the_order(tmp_path):
    plant = next(p for p in PLANTS if p.name.startswith("lstm-gate-order"))
    path = written(tmp_path, source("lstm", plant))
    assert doctor(f"{path}:loss_and_gradients", cell="lstm").verdict == "right"
    wrong = doctor(f"{path}:loss_and_gradients", cell="lstm", gates="ifgo")
    (one,) = wrong.network
    assert wrong.verdict == "right for its own network"
    assert f"in the order {', '.join(one.variant)}, not i, f, g, o" in wrong.headline()
    assert f'gates="{one.variant}"' in one.fix
    done = charloom_("doctor", f"{path}:loss_and_gradients --cell lstm --gates", one.variant)
    assert done.exit_code == 0, done.stdout
    assert f"gates in the order {', '.join(one.variant)}" in " ".join(done.stdout.split())
    for words in ("--cell lstm --gates ifg", "--gates ofig", "--cell gru --gates ifgo"):
        assert charloom_("doctor", f"{path}:loss_and_gradients", words).exit_code == 2


def test_options_of_the_command_are_checked():
    message = " ".join(charloom_("doctor nowhere.py:f --names U").stderr.split())
    assert "--names U=Wxh,W=Whh,b=bh,V=Why,c=by" in message
    for words in ("--names U", "--names Q=Wxh", "--form matlab", "--template tex"):
        assert charloom_("doctor nowhere.py:f", words).exit_code == 2


def test_every_cited_equation_is_in_the_specification():
    from test_docs import read, section

    spec = read("docs/spec/mathematics.md")
    for mistake in MISTAKES:
        text = " ".join(section(spec, mistake.section).split())
        right = " ".join(mistake.right.split())
        start = right if mistake.section != "The network" else right.partition("(what")[0]
        assert start.strip() in text, mistake.id
        assert mistake.fix.endswith(".")


def test_ids_are_unique_and_in_kebab_case():
    ids = [m.id for m in MISTAKES]
    assert len(set(ids)) == len(ids)
    assert all(part.isalnum() and part.islower() for one in ids for part in one.split("-"))
