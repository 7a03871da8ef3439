"""A submission in the sandbox cannot exceed its limits, forge results, or reach other files and processes."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.diagnosis import doctor, landlock
from charloom.diagnosis import linux_calls as linux
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.outcome_check import require_genuine_form
from charloom.diagnosis.outcome_files import outcome_message, read_outcome
from charloom.diagnosis.result_pipe import ResultReader, ResultWriter, packed, unpacked
from charloom.diagnosis.runner import Job, run
from charloom.diagnosis.sandbox_settings import CURRENT, CopiedFile, SandboxSettings, files_beside
from charloom.errors import DoctorError
from plants import function, source

pytestmark = pytest.mark.usefixtures("kept_predictions")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these limits")
HEAD = "import numpy as np\nimport os\nimport sys\n\n\ndef f(params, x, y, h0):\n"
RIGHT = source("loop")


def can_make_namespaces():
    """Return True if this system lets a process enter a user namespace and mount in it."""
    with contextlib.suppress(OSError):
        words = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/tmp"]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0
    return False


separated = pytest.mark.skipif(
    not can_make_namespaces(), reason="this system allows no user namespaces"
)


@contextlib.contextmanager
def submitted(path, **settings):
    """Judge the file as a submission in the `with` block: from a copy, and without other processes."""
    files = (CopiedFile(str(path.resolve()), path.name),)
    given = {"files": files, "from_copies": True, "processes": 0, **settings}
    token = CURRENT.set(SandboxSettings(**given))
    try:
        yield
    finally:
        CURRENT.reset(token)


def result(folder, text, name="mine.py", function="f", time_limit=60.0, **settings):
    """Return the verdict on a submission, or the message of its error."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with submitted(path, **settings):
        try:
            return doctor(f"{path}:{function}", time_limit=time_limit).verdict
        except DoctorError as error:
            return str(error)


# Limits.


@linux_only
def test_memory_is_limited(tmp_path):
    body = "    kept = bytearray(800_000_000)\n"
    assert "MemoryError" in result(tmp_path, HEAD + body, memory=400_000_000)


@linux_only
def test_memory_that_is_shared_is_limited_too(tmp_path):
    body = (
        "    import mmap\n"
        "    kept = []\n"
        "    while True:\n"
        "        kept.append(mmap.mmap(-1, 20_000_000))\n"
        "        kept[-1].write(b'x' * 20_000_000)\n"
    )
    assert "more than 400 MB of memory" in result(tmp_path, HEAD + body, memory=400_000_000)


@linux_only
def test_written_files_are_limited_together(tmp_path):
    body = (
        "    for number in range(100):\n"
        "        with open(f'{number}', 'wb') as file: file.write(bytes(1_000_000))\n"
    )
    message = result(tmp_path, HEAD + body, written=20_000_000)
    assert "No space left on device" in message or "more than 20 MB to files" in message


@linux_only
def test_open_files_are_limited(tmp_path):
    body = "    kept = [open(os.devnull) for _ in range(1000)]\n"
    assert "Too many open files" in result(tmp_path, HEAD + body)


@linux_only
def test_a_submission_cannot_start_processes(tmp_path):
    for start in (
        "os.fork()",
        "os.system('true') == 0 or 1 / 0",
        "os.posix_spawn('/bin/true', ['true'], {})",
    ):
        message = result(tmp_path, HEAD + f"    {start}\n")
        assert "not permitted" in message or "ZeroDivisionError" in message, start


@linux_only
def test_a_submission_may_use_threads(tmp_path):
    text = RIGHT.replace("    T = len(x)\n", "    T = len(x)\n    start()\n")
    text += (
        "\n\ndef start():\n"
        "    import threading\n"
        "    thread = threading.Thread(target=print)\n"
        "    thread.start()\n"
        "    thread.join()\n"
    )
    assert text.count("start()") > 1
    assert result(tmp_path, text, function="loss_and_gradients") == "right"


@linux_only
def test_code_that_starts_many_processes_is_ended(tmp_path):
    body = "    for _ in range(20): os.fork() or __import__('time').sleep(600)\n"
    assert "more than 5 processes" in result(tmp_path, HEAD + body, processes=5)


# Separation.


@separated
def test_a_submission_sees_no_hidden_folder_no_process_and_no_network(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "other.py").write_text("", encoding="utf-8")
    body = (
        f"    print(os.listdir({str(tmp_path)!r}))\n"
        "    print([name for name in os.listdir('/proc') if name.isdigit()])\n"
        "    try: __import__('socket').create_connection(('127.0.0.1', 9), 2)\n"
        "    except OSError as error: print(error.errno)\n"
        "    sys.stdout.flush()\n"
        "    os._exit(3)\n"
    )
    message = result(tmp_path, HEAD + body, hidden=(str(tmp_path),))
    assert "[] / ['1', '2'] / " in message
    open_folder = result(tmp_path, HEAD + body)
    assert "mine.py" in open_folder


@separated
def test_a_submission_cannot_change_the_users_files(tmp_path):
    kept = tmp_path / "kept.txt"
    kept.write_text("kept", encoding="utf-8")
    body = f"    open({str(kept)!r}, 'w')\n"
    assert "Read-only file system" in result(tmp_path, HEAD + body)
    assert kept.read_text(encoding="utf-8") == "kept"


@separated
def test_a_submission_cannot_kill_the_processes_that_watch_it(tmp_path):
    # The first process of the namespace ignores the signal, so the code goes on and is right.
    text = RIGHT.replace("    T = len(x)\n", "    T = len(x)\n    import os; os.kill(1, 9)\n")
    assert result(tmp_path, text, function="loss_and_gradients") == "right"


def test_relative_files_are_copies(tmp_path):
    (tmp_path / "data.txt").write_text("abc", encoding="utf-8")
    body = (
        "    assert open('data.txt').read() == 'abc'\n"
        "    os.remove('data.txt')\n"
        "    os.remove('mine.py')\n"
        "    open(os.path.expanduser('~/left.txt'), 'w').close()\n"
        "    os._exit(5)\n"
    )
    (tmp_path / "mine.py").write_text(HEAD + body, encoding="utf-8")
    with pytest.raises(DoctorError, match="exit code 5"):
        doctor(f"{tmp_path / 'mine.py'}:f")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.txt", "mine.py"]


def test_only_small_plain_files_are_copied(tmp_path):
    (tmp_path / "small.txt").write_text("1", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "small.txt").write_text("1", encoding="utf-8")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").write_text("", encoding="utf-8")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "small.txt")
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(100_000_000)
    names = [copy.target for copy in files_beside(tmp_path)]
    assert names == ["small.txt", os.path.join("sub", "small.txt")]  # noqa: PTH118


def test_secret_environment_variables_are_not_passed_on(tmp_path, monkeypatch):
    monkeypatch.setenv("API_TOKEN", "secret")
    monkeypatch.setenv("LC_TIME", "C")
    body = "    raise ValueError(f\"{os.environ.get('API_TOKEN')} {os.environ.get('LC_TIME')}\")\n"
    assert "ValueError: None C" in result(tmp_path, HEAD + body)


def test_the_error_of_a_copy_shows_no_path_of_the_sandbox(tmp_path):
    message = result(tmp_path, HEAD + "    1 / 0\n")
    assert 'File "mine.py", line 7, in f' in message
    assert "charloom-doctor" not in message


FALLBACK = """
import sys
sys.path[:0] = {paths!r}
import pathlib, test_sandbox_limits as tests
print(tests.result(pathlib.Path({folder!r}), {text!r}, **{settings!r}))
"""


@separated
@linux_only
@pytest.mark.parametrize(
    ("body", "settings", "sentence"),
    [
        ("    while True: os.fork()\n", {}, "not permitted"),
        ("    kept = bytearray(800_000_000)\n", {"memory": 400_000_000}, "MemoryError"),
        ("    open('big', 'wb').write(bytes(30_000_000)); __import__('time').sleep(600)\n",
         {"written": 20_000_000}, "File too large|more than 20 MB to files"),
        ("    for _ in range(20): os.fork() or (os.setsid(), __import__('time').sleep(600))\n",
         {"processes": 5}, "more than 5 processes"),
    ],
)  # fmt: skip
def test_the_limits_hold_without_namespaces_too(tmp_path, body, settings, sentence):
    """The doctor runs in a namespace that allows no further ones, as a container does."""
    program = FALLBACK.format(
        paths=[str(Path(__file__).parent)],
        folder=str(tmp_path),
        text=HEAD + body,
        settings=settings,
    )
    words = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {sys.executable} -c {shlex.quote(program)}"
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", words], capture_output=True, text=True, check=True
    )
    assert re.search(sentence, done.stdout), done.stdout + done.stderr


def has_landlock():
    """Return True if the kernel has Landlock."""
    try:
        return linux.system_call(landlock.CREATE_RULES, None, 0, landlock.GET_VERSION) > 0
    except (OSError, AttributeError):
        return False


@separated
@linux_only
@pytest.mark.skipif(not has_landlock(), reason="this kernel has no Landlock")
@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("os.listdir(OTHERS)", "Permission denied"),
        ("open(OTHERS + '/secret.txt')", "Permission denied"),
        ("open(OTHERS + '/new.txt', 'w')", "Permission denied"),
        ("os.remove(OTHERS + '/secret.txt')", "Permission denied"),
        ("open('/proc/%d/environ' % os.getppid())", "Permission denied"),
        ("open('own.txt', 'w') and open('mine.py') and open('/etc/passwd') and 1 / 0", "ZeroDivisionError"),
    ],
)  # fmt: skip
def test_landlock_hides_files_where_namespaces_are_not_allowed(tmp_path, action, sentence):
    others = tmp_path / "others"
    others.mkdir()
    (others / "secret.txt").write_text("secret", encoding="utf-8")
    program = FALLBACK.format(
        paths=[str(Path(__file__).parent)],
        folder=str(tmp_path / "mine"),
        text=f"OTHERS = {str(others)!r}\n{HEAD}    {action}\n",
        settings={"hidden": (str(tmp_path),)},
    )
    words = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {sys.executable} -c {shlex.quote(program)}"
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", words], capture_output=True, text=True, check=True
    )
    assert sentence in done.stdout, done.stdout + done.stderr
    assert [path.name for path in others.iterdir()] == ["secret.txt"]


@linux_only
def test_the_visible_folders_leave_out_the_hidden_ones(tmp_path):
    for name in ("a/hidden/inner", "a/open", "b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "to-hidden").symlink_to(tmp_path / "a" / "hidden" / "inner")
    (tmp_path / "to-top").symlink_to(tmp_path)
    shown = list(landlock.visible(str(tmp_path), {str(tmp_path / "a" / "hidden")}))
    assert shown == [str(tmp_path / "a" / "open"), str(tmp_path / "b")]
    assert list(landlock.visible(str(tmp_path), set())) == [str(tmp_path)]


# Forged results.


def outcome_of_right_code():
    """Return the results of right code, with their job."""
    job = Job(Options())
    return run(lambda: (function("loop"), None), job, lambda step: None, reload=False), job


FORGERIES = {
    "printed JSON": "    print('{\"outcome\": {}, \"verdict\": \"right\"}', flush=True)\n    os._exit(0)\n",
    "files": (
        "    for name in ('outcome.json', 'outcome.npz', '../outcome.json', '../step'):\n"
        "        open(name, 'w').write('{\"verdict\": \"right\"}')\n"
        "    os._exit(0)\n"
    ),
    "every file descriptor": (
        "    for number in range(1, 60):\n"
        "        try: os.write(number, b'\\n{\"error\": \"forged\", \"outcome\": {}}\\n')\n"
        "        except OSError: pass\n"
        "    os._exit(0)\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_nothing_that_a_submission_writes_is_taken_for_a_result(name, tmp_path):
    message = result(tmp_path, HEAD + FORGERIES[name])
    assert "the function returned nothing: it ended the Python process with exit code 0" in message


WRITER = (
    "    import gc\n"
    "    writer = next(one for one in gc.get_objects() if type(one).__name__ == 'ResultWriter')\n"
)


def test_a_flood_of_results_is_ended(tmp_path):
    text = HEAD + WRITER + "    while True: writer.send(step='x' * 1_000_000)\n"
    assert "it sent more than 64 MB as results" in result(tmp_path, text)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ("error='no' * 1_000_000", "nono\n…\nnono"),
        ("separation=['<b>'], step={'a': 1}, error=None, slow='x'", "exit code 0"),
        ("outcome={}, arrays=3", "results that are not those of the doctor's calls"),
        ("outcome=[], arrays=''", "results that are not those of the doctor's calls"),
    ],
)
def test_a_forged_message_is_no_result(sent, sentence, tmp_path):
    message = result(tmp_path, f"{HEAD}{WRITER}    writer.send({sent})\n    os._exit(0)\n")
    assert sentence in message
    assert len(message) < 21_000


def test_results_that_are_not_those_of_the_calls_are_refused(tmp_path):
    text = HEAD + (
        "    from charloom.diagnosis import child_process as child\n"
        "    real = child.outcome_message\n"
        "    def forged(outcome):\n"
        "        del outcome.trials[3:]\n"
        "        return real(outcome)\n"
        "    child.outcome_message = sys.modules['__main__'].outcome_message = forged\n"
        "    return loss_and_gradients(params, x, y, h0)\n\n\n"
    )
    assert "results that are not those of the doctor's calls" in result(tmp_path, text + RIGHT)


def test_a_genuine_result_survives_the_pipe():
    outcome, job = outcome_of_right_code()
    reading, writing = os.pipe()
    reader = ResultReader(os.fdopen(reading, "rb"), "token ")
    writer = ResultWriter(writing, "token ")
    os.write(writing, b'junk\n{"outcome": 1}\nother {"error": "x"}\ntoken not json\n')
    writer.send(**outcome_message(outcome))
    os.close(writing)
    (message,) = reader.finish()
    again = read_outcome(json.loads(json.dumps(message)))
    require_genuine_form(again, job, numerical=False)
    for one, other in zip(outcome.trials, again.trials, strict=True):
        assert one.loss == other.loss
        assert all((one.gradients[name] == other.gradients[name]).all() for name in one.gradients)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: setattr(one, "cell", "quark"),
        lambda one: setattr(one, "sizes", (10**9, 3)),
        lambda one: setattr(one, "sizes", (3,)),
        lambda one: setattr(one, "convention", "x" * 10_000),
        lambda one: one.trials.pop(),
        lambda one: one.windows.append(one.windows[0]),
        lambda one: one.trials.__setitem__(0, one.trials[0]._replace(gradients={})),
        lambda one: one.trials.__setitem__(0, one.trials[0]._replace(changed=("all",))),
    ],
)
def test_a_result_of_another_form_is_refused(change):
    outcome, job = outcome_of_right_code()
    require_genuine_form(outcome, job, numerical=False)
    change(outcome)
    with pytest.raises(ValueError, match="genuine"):
        require_genuine_form(outcome, job, numerical=False)


def test_compressed_arrays_are_refused():
    import base64
    import io

    import numpy as np

    zeros = {"zeros": np.zeros(100_000)}
    assert (unpacked(packed(zeros))["zeros"] == 0).all()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **zeros)
    with pytest.raises(ValueError, match="compressed"):
        unpacked(base64.b64encode(buffer.getvalue()).decode())


# Time.


@linux_only
def test_a_submission_that_sleeps_longer_than_its_limit_may_be_right(tmp_path):
    # It sleeps six seconds, and right code needs about one of its five seconds of processor time.
    text = RIGHT.replace("    T = len(x)\n", "    T = len(x)\n    wait()\n")
    text += (
        "\n\ndef wait():\n"
        "    import os, time\n"
        "    if not os.path.exists('slept'):\n"
        "        open('slept', 'w').close()\n"
        "        for _ in range(20): time.sleep(0.3)\n"
    )
    assert text.count("wait()") > 1
    assert result(tmp_path, text, function="loss_and_gradients", time_limit=5.0) == "right"


@linux_only
def test_a_submission_that_only_waits_is_ended(tmp_path):
    body = "    __import__('time').sleep(10**6)\n"
    assert "it only waited for 2 s" in result(tmp_path, HEAD + body, time_limit=2.0)


@linux_only
def test_the_time_of_an_endless_loop_is_that_of_the_processor(tmp_path):
    message = result(tmp_path, HEAD + "    while True: pass\n", time_limit=1.0)
    assert "did not end within 1 s of processor time" in message
