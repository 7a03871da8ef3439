"""Opens hostile models, runs and PyTorch files in every way, and checks that they are only read as data.

A separate process opens them and watches itself: which files it opens, whether it executes anything, and
how much memory it takes. The result must be one of charloom's errors or a model, never another error or an
endless wait. After the list of hostile files, the loader and the reader of texts get mutated bytes
(`reliability.fuzz`); in the long version some of them are guided by coverage.
"""

import contextlib
import gzip
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from safetensors.numpy import save as serialize

from reliability import LONG, SHORT, Figures, fuzz
from reliability.run_training import reopen

NUMBER = 8
PROMISE = (
    "A model from an untrusted source is only data. Nothing in it is executed, no file beside it is "
    "read or changed, and memory stays below twice its size plus 100 MB. Any error about it "
    "is one of charloom's own."
)

SEED = 8
BY_CHANCE = {SHORT: {"loader": 3_000, "text": 600}, LONG: {"loader": 200_000, "text": 50_000}}
WITH_COVERAGE = {SHORT: {}, LONG: {"loader": 800_000, "text": 200_000}}
BIG = {SHORT: 12 << 20, LONG: 128 << 20}  # size of the large hostile files in bytes
HEADER = 90 << 20  # bytes of a header that safetensors still writes
PATIENCE = 20  # processor seconds after which opening a file counts as endless
ALLOWED = 100 << 20  # bytes of memory in addition to twice the file's size
ABOUT = 7 << 20  # bytes of the metadata of a model or a run; the limit is 8 MiB
SECRET = "a secret of the user's, which is in no run"

# What a process must not do while it opens a file.
FORBIDDEN = (
    "compile", "exec", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system",
    "pickle.find_class", "subprocess.Popen", "ctypes.dlopen", "socket.connect",
    "socket.getaddrinfo",
)  # fmt: skip

SETTINGS = {
    "recipe": "classic",
    "hidden_size": 5,
    "seq_length": 5,
    "report_every": 5,
    "sample_until": 0,
    "sample_length": 5,
    "passage_length": 10,
    "optimizer": "adam",
}
TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 10

Build = Callable[[Path, int], Path]


def check(scale: str) -> Figures:
    """Open every hostile file in every way, and then random inputs."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "reliability.strangers", name, str(BIG[scale]), scale]
        done = subprocess.run(command, cwd=fuzz.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:] or f"ended by {done.returncode}"
    figures: Figures = json.loads(done.stdout)
    for run, how, wanted in (
        (fuzz.by_chance, "by_chance", BY_CHANCE[scale]),
        (fuzz.with_coverage, "with_coverage", WITH_COVERAGE[scale]),
    ):
        for target, inputs in wanted.items():
            fuzzed = run(target, inputs, SEED)
            figures[f"{target}_inputs_{how}"] = fuzzed.inputs
            figures[f"{target}_inputs_{how}_accepted"] = fuzzed.accepted
    return {**figures, "seed": SEED}


# Model files: whole files of bytes


def about(**changes: Any) -> dict[str, Any]:
    """Return the metadata of a model file with three characters and two units."""
    from charloom.config import Config

    config = {**Config(hidden_size=2).to_dict(), **changes.pop("config", {})}
    return {"format": 1, "config": config, "vocabulary": [97, 98, 99], **changes}


def arrays(K: int = 3, H: int = 2) -> dict[str, Any]:
    """Return the parameters of a plain network."""
    shapes = {
        "layers.0.U": (H, K),
        "layers.0.W": (H, H),
        "layers.0.b": (H,),
        "V": (K, H),
        "c": (K,),
    }
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def model(tensors: dict[str, Any] | None = None, text: str | None = None, **changes: Any) -> bytes:
    """Return a model file with changed tensors or changed metadata."""
    metadata = {"charloom": json.dumps(about(**changes)) if text is None else text}
    return serialize({**arrays(), **(tensors or {})}, metadata=metadata)


def raw(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file in the safetensors format with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_entry(name: str, **changes: Any) -> bytes:
    """Return a model file whose header describes one tensor wrongly."""
    whole = model()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header[name] = {**header[name], **changes}
    return raw(header, whole[8 + length :])


def fields(size: int) -> str:
    """Return a JSON object of about `size` bytes with many empty fields."""
    return "{" + ",".join(f'"{n:x}":""' for n in range(size // 11)) + "}"


def zipped(size: int) -> bytes:
    """Return an archive that expands to `size` bytes, about a thousand times its own size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * size)
    return file.getvalue()


class Executes:
    """An object whose pickle runs a command when it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo executed > executed",)


def files(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield the names and bytes of hostile model files; the large ones have about `size` bytes."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    yield "nothing", b""
    yield "a text", b"Once upon a time there was a model. " * 9
    yield "a pickle", pickle.dumps(Executes())
    yield "a pickle after a length", raw(pickle.dumps(Executes()))
    yield "a zip bomb", zipped(size)
    yield "a gzip bomb", gzip.compress(b"\0" * size)
    yield "a shell script", b"#!/bin/sh\necho executed > executed\n"
    # Headers
    yield "a header longer than the file", raw(b"{}", length=2**20)
    yield "a header of no end", raw(b"{}", length=2**63)
    yield "a header of all the bytes there are", raw(b"{}", length=2**64 - 1)
    yield "a header of nothing", raw(b"")
    yield "a header that is no JSON", raw(b"{'a': 1}")
    yield "a header that is no UTF-8", raw(b'{"\xff": 1}')
    yield "a header with a NUL", raw(b'{"\0": 1}')
    yield "a header of depth", raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    yield "a header of many tensors", raw(
        b"{" + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n
                         for n in range(size // 60)) + b"}"
    )  # fmt: skip
    yield "a header of spaces", raw(b"{" + b" " * size + b"}")
    yield "a header of objects", raw(b'{"a":[' + b"{}," * (size // 3) + b"{}]}")
    # Tensors
    yield "overlapping tensors", raw({"a": tensor, "b": tensor}, bytes(8))
    yield (
        "a hole between tensors",
        raw({"a": tensor, "b": {**tensor, "data_offsets": [8, 12]}}, bytes(12)),
    )
    yield "a tensor beyond the end", with_entry("c", data_offsets=[0, 2**40])
    yield "a tensor that ends before it begins", with_entry("c", data_offsets=[12, 0])
    yield "a tensor at a negative place", with_entry("c", data_offsets=[-12, 0])
    yield "a tensor of a wrong length", with_entry("c", shape=[4])
    yield "a tensor larger than any memory", with_entry("c", shape=[2**62])
    yield "a shape whose product wraps around", with_entry("c", shape=[2**33, 2**33])
    yield "a shape of fractions", with_entry("c", shape=[1.5, 2])
    yield "a shape of depth", with_entry("c", shape=[1] * 100_000 + [3])
    yield "an unknown type", with_entry("c", dtype="PICKLE")
    yield "a type of objects", with_entry("c", dtype="|O")
    yield "bytes after the last tensor", model() + b"\0" * 64
    yield "a name like a path", model({"../../../tmp/x": np.ones(1, np.float32)})
    yield (
        "a name that is a screen full of control characters",
        model({"\x1b[2J\x1b]0;x\x07": np.ones(1, np.float32)}),
    )
    for value in (np.nan, np.inf, -np.inf):
        yield f"a weight that is {value}", model({"c": np.array([0, value, 0], np.float32)})
    # Metadata
    yield "metadata that are numbers", raw({"__metadata__": {"charloom": 1}})
    yield "metadata of depth", model(text="[" * 200_000)
    yield (
        "metadata of objects",
        model(text='{"config":[' + "{}," * (min(size, HEADER) // 3) + "{}]}"),
    )
    yield (
        "metadata of lists",
        model(text='{"vocabulary":[' + "[]," * (min(size, HEADER) // 3) + "[]]}"),
    )
    yield "metadata of fields", model(text=fields(min(size, ABOUT)))
    yield "a header of metadata", raw(f'{{"__metadata__":{fields(min(size, ABOUT))}}}'.encode())
    yield "metadata of objects, spelt otherwise", raw(
        b'{"__metadata__":{"charloom":"' + rb"{\u007b},".replace(b"{", b"\\u007b")[:7] * (size // 8)
        + b'"}}'
    )  # fmt: skip
    yield "a vocabulary of no end", model(vocabulary=list(range(1_000_000)))
    yield "a vocabulary of all there is", big_vocabulary(0x110000)
    yield "a vocabulary beyond Unicode", model(vocabulary=[97, 98, 2**31])
    yield "a vocabulary of huge numbers", model(vocabulary=[97, 98, 10**4000])
    yield "a number of too many digits", model(text='{"format":' + "1" * 100_000 + "}")
    yield "numbers beyond all", model(config={"learning_rate": 1e308}, text=None) + b"\0"
    yield "an infinity in disguise", model(text=json.dumps(about()).replace("0.1,", "1e999,", 1))
    for name in ("hidden_size", "layers", "batch_size", "seq_length"):
        for value in (0, -1, 2**31 - 1, 2**63, 10**30):
            yield f"{name} {value}", model(config={name: value})
    yield "a setting that names code", model(config={"cell": "os.system"})
    yield "a setting of no name", model(config={"": 1})
    yield "a setting that is an object", model(config={"optimizer": {"__reduce__": "os.system"}})
    yield "a seal of another", model(sha256="0" * 64)
    yield "a seal that is a list", model(sha256=[1])
    yield "a good model of much memory", big_model(size)


# Unusual files that are valid models.
SOUND = {
    "a good model of much memory", "a vocabulary of all there is",
    f"batch_size {2**31 - 1}", f"seq_length {2**31 - 1}",
}  # fmt: skip


def big_model(size: int) -> bytes:
    """Return a valid model of about `size` bytes, whose optimizer slots would need memory too."""
    H = int((size / 4) ** 0.5)
    config = {"hidden_size": H, "optimizer": "adam"}
    return serialize(arrays(3, H), metadata={"charloom": json.dumps(about(config=config))})


def big_vocabulary(K: int) -> bytes:
    """Return a model with `K` characters and one unit."""
    text = json.dumps(about(config={"hidden_size": 1}, vocabulary=list(range(K))))
    return serialize(arrays(K, 1), metadata={"charloom": text})


# Runs: functions that change one thing in a good run


def link(name: str, target: str) -> Build:
    """Return a function that replaces a file of the run by a link."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)
        return run

    return build


def link_to_mine(name: str) -> Build:
    """Return a function that replaces a directory of the run by a link into another run of the user."""

    def build(run: Path, _: int) -> Path:
        shutil.rmtree(run / name)
        (run / name).symlink_to(run.parent / MINE / name)
        return run

    return build


def pipe(name: str) -> Build:
    """Return a function that replaces a file of the run by a pipe without a writer."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        return run

    return build


def data(name: str, content: Callable[[int], bytes] | bytes) -> Build:
    """Return a function that writes other bytes into a file of the run."""

    def build(run: Path, size: int) -> Path:
        (run / name).write_bytes(content if isinstance(content, bytes) else content(size))
        return run

    return build


def text_of(**changes: Any) -> Build:
    """Return a function that changes the description of the text in config.json."""

    def build(run: Path, _: int) -> Path:
        values = json.loads((run / "config.json").read_bytes())
        values["text"] |= changes
        del values["sha256"]  # an attacker could write a fitting seal
        (run / "config.json").write_text(json.dumps(values))
        return run

    return build


def another_text(run: Path, size: int) -> Path:
    """Make config.json name another file of the user as the run's text."""
    return text_of(sources=[str(run.parent / "diary")])(run, size)


def guessed_names(run: Path, _: int) -> Path:
    """Create links at the names of a writer's temporary files, as if their random part were guessed."""
    for name in ("report.html", "loss.svg", "loss.png", "control.json", "status.json"):
        (run / f".tmp-{name}-{GUESSED}").symlink_to(run.parent / "precious")
    return run


GUESSED = "0" * 16
GUESSES = "links at names that a writer will use"


CHECKPOINT = "checkpoints/5"

RUNS: dict[str, Build] = {
    **{f"{name} is a link to a secret": link(name, "../secret") for name in (
        "config.json", "metrics.jsonl", "samples.jsonl", "events.jsonl", "passage.txt",
        "gradcheck.json", "status.json", "control.json", "checkpoints/latest", "checkpoints/best",
        f"{CHECKPOINT}/state.json", f"{CHECKPOINT}/model.safetensors", f"{CHECKPOINT}/MANIFEST",
    )},
    **{f"{name} is a link to what never ends": link(name, "/dev/zero") for name in (
        "metrics.jsonl", "passage.txt", "text.txt", "status.json", "checkpoints/latest",
        f"{CHECKPOINT}/state.json", f"{CHECKPOINT}/model.safetensors",
    )},
    **{f"{name} is a pipe": pipe(name) for name in (
        "config.json", "metrics.jsonl", "passage.txt", "text.txt", "status.json",
        "control.json", "checkpoints/latest", f"{CHECKPOINT}/model.safetensors",
    )},
    "the lock is a link to what is precious": link("lock", "../precious"),
    "the checkpoints are a link to another run's": link_to_mine("checkpoints"),
    "a checkpoint is a link to another run's": link_to_mine(CHECKPOINT),
    GUESSES: guessed_names,
    "a pointer to elsewhere": data("checkpoints/latest", b"../../secret\n"),
    "a pointer to a place by its path": data("checkpoints/latest", b"/etc\n"),
    "a pointer of no end": data("checkpoints/latest", lambda size: b"5" * size),
    "a manifest of lines": data(f"{CHECKPOINT}/MANIFEST", lambda size: b"\n" * size),
    "a manifest of paths": data(f"{CHECKPOINT}/MANIFEST", b"0" * 64 + b" 3 ../../secret\n"),
    "a state of objects": data(
        f"{CHECKPOINT}/state.json", lambda size: b'{"a":[' + b"{}," * (size // 3) + b"{}]}"
    ),
    "settings of objects": data(
        "config.json", lambda size: b'{"a":[' + b"{}," * (min(size, ABOUT) // 3) + b"{}]}"
    ),
    "settings of fields": data("config.json", lambda size: fields(min(size, ABOUT)).encode()),
    "settings of depth": data("config.json", b'{"config":' * 100_000),
    "settings that are another program's": data("config.json", b'{"compilerOptions":{}}'),
    "a text that never ends": text_of(sources=["/dev/zero"]),
    "a text that is a terminal": text_of(sources=["-"]),
    "a text that is a folder": text_of(sources=["/"]),
    "a text by a path from here": text_of(sources=["../secret"]),
    "a text by a pattern": text_of(sources=["/**/*"]),
    "a text that is another file": another_text,
    "a name that writes on the screen": text_of(name="\x1b[2J<script>alert(1)</script>"),
    "samples that are a page": data(
        "samples.jsonl", b'{"text":"</pre><script>alert(1)</script>","update":5}\n'
    ),
    "a record of other things": data("metrics.jsonl", b'{"update":"<script>"}\n'),
    "records that are lists": data("metrics.jsonl", b"[]\n"),
    "records of no numbers": data("metrics.jsonl", b'{"update":NaN}\n'),
}  # fmt: skip


# The process that opens them and watches itself


class Watch:
    """Records what this process does while it opens a file, with an audit hook that cannot be removed."""

    def __init__(self, allowed: Path) -> None:
        self.seen: list[str] = []
        self.looking = False
        self.allowed = str(allowed)
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record forbidden events, and every file that is opened outside the allowed folders."""
        if not self.looking:
            return
        name = getattr(arguments[0], "co_filename", "") if event == "exec" else ""
        if name.startswith(HARMLESS):
            return  # a module that is imported late
        if event in FORBIDDEN:
            self.seen.append(f"{event}{arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            path = os.fsdecode(os.fspath(arguments[0]))
            flags = arguments[2] if isinstance(arguments[2], int) else 0
            real = os.path.realpath(path)
            if flags & (
                os.O_NOFOLLOW | os.O_EXCL
            ):  # a link at this name, the last, is not followed
                whole = Path.cwd() / path
                real = os.path.realpath(whole.parent) + "/" + whole.name
            others = not real.startswith((self.allowed, *HARMLESS))
            if others or real.startswith(tuple(f"{self.allowed}/{name}" for name in KEPT)):
                self.seen.append(f"opened {path}"[:200])

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Record events inside the `with` block."""
        self.looking = True
        try:
            yield
        finally:
            self.looking = False


MINE = "mine"  # another run of the user's
KEPT = ("secret", "precious", MINE)

# The folders of the interpreter and its packages: late imports are not caused by the file.
HARMLESS = (sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent / "src"), "/proc/self")


def memory() -> tuple[int, int]:
    """Return the present and the largest memory of this process in bytes."""
    found = dict(
        line.split(":", 1)
        for line in Path("/proc/self/status")
        .read_text(encoding="ascii", errors="replace")
        .splitlines()
        if line.startswith(("VmRSS", "VmHWM"))
    )
    now, most = (int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


# Runs with changes that a report shows. Other runs get a report only in the long version, as each takes
# a second.
SHOWN = ("passage", "samples", "record", "name", "gradcheck")


def openers(path: Path, drawn: bool) -> dict[str, Callable[[], object]]:
    """Return every way to open a path, by name; `drawn` includes the report of a run."""
    import charloom
    from charloom.pytorch_format import read_torch_file
    from charloom.report import write_report
    from charloom.store import load_checkpoint, read_run, write_control

    if not path.is_dir():
        return {"load": lambda: charloom.load(path), "import": lambda: read_torch_file(path)}

    def resume() -> None:
        reopen(path)[0].close()

    ways: dict[str, Callable[[], object]] = {
        "load": lambda: charloom.load(path),
        "load the best": lambda: charloom.load(path, which="best"),
        "a checkpoint": lambda: load_checkpoint(path / CHECKPOINT),
        "look": lambda: read_run(path),
        "its own text": lambda: charloom.load(path).evaluate(),
        "report": lambda: write_report(path),
        "steer": lambda: write_control(path, "pause"),
        "resume": resume,
    }
    if not drawn:
        del ways["report"]
    return ways


class Opened(NamedTuple):
    """The number of refusals, the number of successes, and the largest memory beyond twice the size."""

    refused: int
    opened: int
    most: int


def open_all(name: str, path: Path, watch: Watch, size: int, everything: bool) -> Opened:
    """Open one hostile file or run in every way.

    Raises:
        AssertionError: the result was neither one of charloom's errors nor a harmless success.
    """
    from charloom.errors import CharloomError

    refused = opened = most = 0
    drawn = everything or any(part in name for part in SHOWN)
    for how, action in openers(path, drawn).items():
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before, _ = memory()
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)
        signal.alarm(10 * PATIENCE)
        try:
            with watch.watching():
                action()
            opened += 1
            assert how != "load" or path.is_dir() or name in SOUND, f"{name}: was taken for a model"
        except CharloomError as error:
            refused += 1
            assert SECRET not in str(error), f"{name}, {how}: tells a secret: {error}"
        except AssertionError:
            raise
        except BaseException as error:
            raise AssertionError(f"{name}, {how}: {error!r}") from error
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        grown = memory()[1] - before
        if how != "import" and how not in ("report", "its own text"):
            assert grown <= 2 * size + ALLOWED, (
                f"{name}, {how}: took {grown >> 20} MB of memory, and has {size >> 20} MB"
            )
        most = max(most, grown - 2 * size)
        seen, watch.seen = watch.seen, []
        if how == "report":  # the template of the page is compiled, which is charloom's own
            seen = [event for event in seen if not event.startswith(("compile", "exec"))]
        assert not seen, f"{name}, {how}: {seen}"
    return Opened(refused, opened, most)


def too_long(*_: object) -> None:
    """Raise TimeoutError: the handler of the signals that limit the time."""
    raise TimeoutError("never ends")


def main(place: Path, size: int, everything: bool = False) -> Figures:
    """Create all hostile files in a folder, open each, and check that no other file was touched."""
    import charloom

    signal.signal(signal.SIGPROF, too_long)
    signal.signal(signal.SIGALRM, too_long)
    os.chdir(place)
    text = place / "book.txt"
    text.write_text(TEXT, encoding="utf-8")
    charloom.train(text, place / "good", updates=5, **SETTINGS)
    (place / "secret").write_text(SECRET, encoding="utf-8")
    (place / "diary").write_text(SECRET, encoding="utf-8")
    (place / "precious").write_text("precious", encoding="utf-8")
    shutil.copytree(place / "good", place / MINE)
    mine = contents(place / MINE)
    watch = Watch(place)
    open_once(place / "good")
    refused = opened = cases = most = 0

    def one(name: str, path: Path) -> None:
        nonlocal refused, opened, cases, most
        bytes_of = sum(p.stat().st_size for p in [path, *path.rglob("*")] if p.is_file())
        told = open_all(name, path, watch, bytes_of, everything)
        refused, opened, cases = refused + told.refused, opened + told.opened, cases + 1
        most = max(most, told.most)
        assert not (place / "executed").exists(), f"{name}: executed"
        assert (place / "precious").read_text(encoding="utf-8") == "precious", f"{name}: overwrote"

    for name, content in files(size):
        (place / "model").write_bytes(content)
        del content
        one(name, place / "model")
    (place / "model").unlink(missing_ok=True)
    os.mkfifo(place / "model")
    one("a pipe", place / "model")
    (place / "model").unlink()
    (place / "model").symlink_to("/dev/zero")
    one("a link to what never ends", place / "model")
    for name, build in RUNS.items():
        run = place / "run"
        shutil.copytree(place / "good", run)
        guess = mock.patch("secrets.token_hex", return_value=GUESSED)
        with guess if name == GUESSES else contextlib.nullcontext():
            one(name, build(run, size))
        assert contents(place / MINE) == mine, f"{name}: changed another run"
        for page in run.glob("*.html"):
            shown = page.read_text(encoding="utf-8")
            assert SECRET not in shown, f"{name}: the report shows a secret"
            assert "<script>alert" not in shown, f"{name}: the report runs a script"
        shutil.rmtree(run)
    return {
        "hostile_files": cases,
        "refused": refused,
        "of_no_effect": opened,
        "most_memory_beside_twice_the_size_MB": round(most / (1 << 20)),
    }


def contents(run: Path) -> dict[Path, bytes]:
    """Return the bytes of every file of a run."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def open_once(run: Path) -> None:
    """Open a good run in every way, so that all late imports are done before the checks."""
    for path in (run, run / CHECKPOINT / "model.safetensors"):
        for action in openers(path, True).values():
            with contextlib.suppress(Exception):
                action()
    for name in ("control.json", "report.html", "loss.svg", "loss.png"):
        (run / name).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        told = main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), sys.argv[3] == LONG)
    except AssertionError as error:
        sys.exit(str(error))
    print(json.dumps(told))
