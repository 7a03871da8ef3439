"""Checks that charloom uses no network, except in `push`, and writes no file outside the run directory, unless asked to.

It runs every command, which must end as expected. Each Python process of a command, including child
processes, starts with `reliability/watched/sitecustomize.py`. Its audit hook records each connection, each
host name that is looked up, each process that is started, and each file that is opened for writing,
created, renamed, linked, removed or given another mode. A written file must be in the run, or be the one
file that the user named. The ids of a text of more than 64 MiB may be in the cache folder. Files must have
the permissions of the user's umask. Three exceptions are allowed: matplotlib, which draws the report, asks
the system for fonts and keeps a list of them in its own folders; the doctor runs the user's function in a
separate process, with a temporary folder that is removed at the end; and `serve` listens on this machine.
"""

import ast
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.cli import app
from reliability import LONG, Figures

NUMBER = 14
PROMISE = (
    "No command but `push` connects to another machine (only `serve` listens, on this machine). No command writes a "
    "file outside the run directory, except a file that the user named, or gives a file other "
    "permissions than the user's umask does."
)

ROOT = Path(__file__).parent.parent
WATCHED = Path(__file__).parent / "watched"
TORCH = "home/torch"  # the cache folder of PyTorch
TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 30
# Modules that use the network. Below `src`, only the packages and modules in ALLOWED_TALKERS may import them.
TALKERS = {
    "socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "httpx", "asyncio", "huggingface_hub",
}  # fmt: skip
# The server of the page, which a user starts, the command `push`, and the processes of `--processes` and torchrun.
ALLOWED_TALKERS: frozenset[str] = frozenset(
    {"web", "hub_upload", "engines/torch/process_group.py", "engines/torch/training_processes.py"}
)
UMASKS = (0o022, 0o077, 0o002)
PATIENCE = 120.0  # seconds within which a command must be ready, or must end

FONTS = ("home/.cache/matplotlib", "home/.config/matplotlib")


@dataclass(frozen=True)
class Line:
    """A command line, and what the command is allowed to do.

    Attributes:
        words: the words after `charloom`.
        code: the expected exit code.
        beside: commands to run, or functions to call with its output, when the command is ready.
        ready: returns True if the command is ready, given the folder and the output.
        end: the signal that ends the command after that.
        talks: a regular expression for the allowed uses of the network.
        starts: a regular expression for the processes that it may start.
        writes: beginnings of paths in the folder where it may write, in addition to `runs` and `asked`.
    """

    words: str
    code: int = 0
    beside: tuple["Line | Callable[[str], object]", ...] = ()
    ready: Callable[[Path, str], object] = lambda place, output: True
    end: signal.Signals | None = None
    talks: str = ""
    starts: str = ""
    writes: tuple[str, ...] = ()


def look_at_the_page(output: str) -> None:
    """Request the page and the list of runs, as a browser does."""
    address = re.search(r"http://127\.0\.0\.1:\d+/", output)
    assert address, f"serve: prints no address: {output}"
    for path in ("", "api/runs"):
        with urllib.request.urlopen(address[0] + path, timeout=PATIENCE) as answer:
            assert answer.status == 200


SMALL = "--recipe classic --hidden-size 4 --seq-length 5"
HERE = r"\('127\.0\.0\.1', \d+"  # the loopback address in an audit event
STEERED = Line(
    f"train book.txt --run runs/d {SMALL} --updates 100000000 --report-every 5000",
    ready=lambda place, output: (place / "runs/d/status.json").exists(),
    beside=(
        Line("control runs/d pause"),
        Line("control runs/d run --learning-rate-factor 0.5"),
        Line("control runs/d stop"),
    ),
)
SERVED = Line(
    "serve runs --port 0 --no-open",
    code=-signal.SIGTERM,
    ready=lambda place, output: "http://" in output,
    beside=(look_at_the_page,),
    end=signal.SIGTERM,
    talks=rf"socket\.(bind|getaddrinfo)\(?{HERE}.*",
)
DRAWS: dict[str, Any] = {"starts": r"subprocess\.Popen \S*fc-list .*", "writes": FONTS}
STUDY = """
text = "book.txt"
seeds = 2
[settings]
hidden_size = 4
updates = 20
"""
SHORTER = (  # the commands of the short version
    Line(f"train book.txt --run runs/a {SMALL} --updates 20 --report-every 5 --validation 0.2"),
    STEERED,
    Line("resume runs/a --updates 30"),
    Line("sample runs/a --length 20"),
    Line("export runs/a --to torch --output asked/book.safetensors"),
)
COMMANDS = (
    *SHORTER,
    Line(f"reproduce book.txt --run runs/b {SMALL.removeprefix('--recipe classic ')} --updates 20 "
         "--engine reference", **DRAWS),
    Line("report runs/a", **DRAWS),
    Line("control runs/a pause", code=2),  # the run is finished
    Line("runs"),
    Line("runs list runs --sort loss --json"),
    Line("study small.toml --out asked/study --workers 1",
         starts=rf"subprocess\.Popen {re.escape(sys.executable)} -P -m charloom\.studies\.worker_process .*",
         writes=("tmp/",)),
    Line("compare runs --picture asked/curves.png", **DRAWS),
    Line("sample runs/a --length 20 --grid"),
    Line("report runs/a --grid", **DRAWS),
    Line("evaluate runs/a --baselines"),
    Line("score runs/a --text cat"),
    Line("classify runs/a runs/b --text cat --csv asked/classes.csv"),
    Line("memorized runs/a --samples 2 --length 50 --picture asked/copies.png", **DRAWS),
    Line("neurons runs/a --png asked/units.png", **DRAWS),
    Line("neurons runs/a --ablate zero --characters 500 --png asked/costs.png", **DRAWS),
    Line("fixed-points runs/a --starts 3 --png asked/eigenvalues.png", **DRAWS),
    Line("export runs/a --to hub --output asked/book-model"),
    Line("push runs/a ada/book", code=2),  # a run is refused before anything is sent
    Line("import asked/book.safetensors --output asked/again.safetensors"),
    Line("train book.txt --run runs/c --from runs/a --updates 5"),
    Line("runs rename runs/c renamed --yes"),
    Line("runs rm runs/renamed --yes"),
    SERVED,
    Line("gradcheck --hidden-size 3 --seq-length 3"),
    Line("trace --seed 1 --html asked/trace.html", **DRAWS),
    Line("doctor --template numpy --output asked/mine.py"),
    # The doctor's child process forks into namespaces; /proc has the settings of its own process.
    Line("doctor asked/mine.py:loss_and_gradients --html asked/page.html",
         starts=rf"subprocess\.Popen {re.escape(sys.executable)} -P -m charloom\.diagnosis\.child_process \S+|"
         rf"os\.fork|{DRAWS['starts']}", writes=("tmp/", "/proc/", *FONTS)),
    Line("doctor asked/mine.py --function loss_and_gradients --csv asked/class.csv",
         starts=rf"subprocess\.Popen {re.escape(sys.executable)} -P -m charloom\.(api\.class_worker|"
         r"diagnosis\.child_process \S+)|os\.fork", writes=("tmp/", "/proc/")),
    Line("doctor asked/mine.py --adapt asked/wrapper.py",
         starts=rf"subprocess\.Popen {re.escape(sys.executable)} -P -m charloom\.diagnosis\.child_process \S+|os\.fork",
         writes=("tmp/", "/proc/")),
    # PyTorch, if it is installed, has its own cache and temporary files.
    Line("bench --workload classic --rounds 1 --hidden-size 4 --vocabulary-size 4",
         writes=("tmp/", TORCH)),
    Line("corpora"),
    Line("recipes"),
    Line("info"),
    Line("train nowhere.txt", code=2),
)  # fmt: skip


def check(scale: str) -> Figures:
    """Search the source for imports of network modules, then run every command and check what it did."""
    talking = talkers(ROOT / "src" / "charloom")
    assert not talking, f"talks to others: {', '.join(talking)}"
    require_all_commands()
    noted, files = Noted(), 0
    for umask in UMASKS if scale == LONG else UMASKS[:1]:
        with tempfile.TemporaryDirectory() as name:
            place = prepared(Path(name).resolve())
            before = os.umask(umask)
            try:
                for line in COMMANDS if scale == LONG else SHORTER:
                    noted += run(place, line)
            finally:
                os.umask(before)
            files += look_at_permissions(place, umask)
    return {
        "commands_run": noted.commands,
        "processes_watched": noted.processes,
        "allowed_writes": noted.writes,
        "listened_on_this_machine": noted.listened,
        "connections_or_writes_elsewhere": noted.elsewhere,
        "files_with_ordinary_permissions": files,
    }


def require_all_commands() -> None:
    """Raise AssertionError if `COMMANDS` has no line for one of the app's commands."""
    names = {(one.name or one.callback.__name__) for one in app.registered_commands if one.callback}
    names |= {
        str(one.typer_instance.info.name) for one in app.registered_groups if one.typer_instance
    }
    lines = [*COMMANDS, *(one for line in COMMANDS for one in line.beside if isinstance(one, Line))]
    missing = names - {line.words.split()[0] for line in lines}
    assert not missing, f"not watched: {', '.join(sorted(missing))}"


def talkers(package: Path) -> list[str]:
    """Return the imports of network modules in a package, with file and line."""
    found = []
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package)
        if {part.parts[0].removesuffix(".py"), part.as_posix()} & ALLOWED_TALKERS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [
                f"{path.relative_to(package)}:{node.lineno} imports {name}"
                for name in names
                if name.split(".")[0] in TALKERS
            ]
    return found


# Running


@dataclass
class Noted:
    """Counts of what allowed commands did."""

    commands: int = 0
    processes: int = 0
    writes: int = 0
    listened: int = 0
    elsewhere: int = 0

    def __add__(self, other: "Noted") -> "Noted":
        return Noted(*(one + two for one, two in zip(vars(self).values(), vars(other).values())))  # noqa: B905


def prepared(place: Path) -> Path:
    """Create a text and empty folders in `place`, and return `place`."""
    (place / "book.txt").write_text(TEXT, encoding="utf-8")
    (place / "small.toml").write_text(STUDY, encoding="utf-8")
    for name in ("asked", "tmp"):
        (place / name).mkdir()
    return place


def run(place: Path, line: Line) -> Noted:
    """Run one command in its own process, and the commands and functions in `line.beside`.

    Raises:
        AssertionError: the command did something that is not allowed, or ended with another exit code.
    """
    environment = {**os.environ, "HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
    environment |= {
        "TORCHINDUCTOR_CACHE_DIR": str(place / TORCH),
        "PYTHONPATH": os.pathsep.join([str(WATCHED), str(ROOT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "CHARLOOM_CACHE"):
        environment.pop(name, None)
    noted = Noted()
    with tempfile.TemporaryDirectory() as name:
        notes, output_path = Path(name) / "notes", Path(name) / "output"
        environment["CHARLOOM_NOTES"] = str(notes)
        with output_path.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "charloom", *line.words.split()],
                cwd=place, env=environment, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            if line.beside or line.end:
                wait_until_ready(place, line, output_path, process)
            for other in line.beside:
                if isinstance(other, Line):
                    noted += run(place, other)
                else:
                    other(output_path.read_text(encoding="utf-8", errors="replace"))
            if line.end is not None:
                process.send_signal(line.end)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        output = output_path.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in output, f"{line.words}: {output[-1500:]}"
        assert process.returncode == line.code, (
            f"{line.words}: exit code {process.returncode}, not {line.code}: {output[-500:]}"
        )
        return noted + judged(place, line, notes)


def wait_until_ready(
    place: Path, line: Line, output_path: Path, process: "subprocess.Popen[bytes]"
) -> None:
    """Wait until a command is ready."""
    until = time.monotonic() + PATIENCE
    while not line.ready(place, output_path.read_text(encoding="utf-8", errors="replace")):
        assert process.poll() is None and time.monotonic() < until, (
            f"{line.words}: never at work: {output_path.read_text(encoding='utf-8', errors='replace')}"
        )
        time.sleep(0.02)


def judged(place: Path, line: Line, notes: Path) -> Noted:
    """Return the counts of what a command and its child processes did.

    Raises:
        AssertionError: something was not allowed, or a process was not watched.
    """
    found: dict[str, list[object]] = {
        kind: [] for kind in ("begins", "talks", "starts", "starts unwatched", "writes")
    }
    for note in notes.read_text(encoding="utf-8").splitlines():
        kind, what = json.loads(note)
        found[kind].append(what)
    listened = [
        what for what in found["talks"] if line.talks and re.fullmatch(line.talks, str(what))
    ]
    others = [what for what in found["talks"] if what not in listened]
    assert not others, f"{line.words}: {others}"
    for kind in ("starts", "starts unwatched"):
        for words in found[kind]:
            what = " ".join(map(str, words))  # type: ignore[call-overload]
            assert line.starts and re.fullmatch(line.starts, what), f"{line.words}: {kind} {what}"
    wanted = 1 + len(found["starts"])
    assert len(found["begins"]) == wanted, (
        f"{line.words}: {len(found['begins'])} processes of {wanted} were watched"
    )
    kept = tuple(str(place / name) + os.sep for name in ("runs", "asked"))
    kept += tuple(str(place / name) for name in line.writes)
    above = {str(parent) + os.sep for name in line.writes for parent in (place / name).parents}
    if line.words.startswith("doctor"):
        # If charloom is in a folder that the sandbox hides, such as /tmp, the sandbox makes the folders above
        # charloom again, in a file system of its own.
        needed = (ROOT / "src" / "charloom", Path(sys.prefix))
        above |= {str(parent) + os.sep for path in needed for parent in path.parents}
    writes = [str(what) for what in found["writes"] if what != os.devnull]
    elsewhere = [path for path in writes if not path.startswith(kept) and path not in above]
    assert not elsewhere, f"{line.words}: writes {', '.join(elsewhere)}"
    left = [path.name for path in (place / "tmp").iterdir()]
    assert not left, f"{line.words}: leaves {', '.join(left)} in the temporary folder"
    return Noted(1, len(found["begins"]), len(writes), len(listened), len(others) + len(elsewhere))


def look_at_permissions(place: Path, umask: int) -> int:
    """Require the permissions of the umask for every file and directory, and return their number."""
    found = [path for kept in ("runs", "asked") for path in (place / kept).rglob("*")]
    for path in found:
        mode = stat.S_IMODE(path.lstat().st_mode)
        wanted = (0o777 if path.is_dir() else 0o666) & ~umask
        assert mode == wanted, f"{path.relative_to(place)} has the mode {mode:o}, not {wanted:o}"
    return len(found)
