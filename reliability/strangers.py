"""Opens hostile models, runs and PyTorch files in every way, and checks that they are only read as data.

Each is opened in a process of its own kind that watches itself: what it opens, whether anything is
executed, and how much memory it takes. An error of charloom's is what must come out, or a model; never
another error, never a wait without end. After the list of hostile files comes chance: the loader and
the reader of texts get mutated bytes (`reliability.fuzz`), in the long version also such as are led by
coverage.
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
BIG = {SHORT: 12 << 20, LONG: 128 << 20}  # bytes of the hostile files that are large
HEADER = 90 << 20  # bytes of a header that safetensors still writes
PATIENCE = 20  # seconds of a processor until a file that is being opened counts as never ending
ALLOWED = 100 << 20  # bytes of memory beside twice the file's size
ABOUT = 7 << 20  # bytes of what is said of a model or a run, which may have 8 MiB
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
    """Open every hostile file in every way, then whatever chance makes."""
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
    """What a model file of three characters and two units says about itself."""
    from charloom.config import Config

    config = {**Config(hidden_size=2).to_dict(), **changes.pop("config", {})}
    return {"format": 1, "config": config, "vocabulary": [97, 98, 99], **changes}


def arrays(K: int = 3, H: int = 2) -> dict[str, Any]:
    """The parameters of a plain network."""
    shapes = {
        "layers.0.U": (H, K),
        "layers.0.W": (H, H),
        "layers.0.b": (H,),
        "V": (K, H),
        "c": (K,),
    }
    return {name: np.ones(shape, np.float32) for name, shape in shapes.items()}


def model(tensors: dict[str, Any] | None = None, text: str | None = None, **changes: Any) -> bytes:
    """A model file with some tensors, or something it says about itself, changed."""
    metadata = {"charloom": json.dumps(about(**changes)) if text is None else text}
    return serialize({**arrays(), **(tensors or {})}, metadata=metadata)


def raw(header: bytes | dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    """A file as safetensors has it, of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def with_entry(name: str, **changes: Any) -> bytes:
    """A model file, one tensor of which is described otherwise than it is."""
    whole = model()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header[name] = {**header[name], **changes}
    return raw(header, whole[8 + length :])


def fields(size: int) -> str:
    """A JSON object of about so many bytes, all of them names."""
    return "{" + ",".join(f'"{n:x}":""' for n in range(size // 11)) + "}"


def zipped(size: int) -> bytes:
    """An archive that would be a thousand times its size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.pkl", b"\0" * size)
    return file.getvalue()


class Executes:
    """What a pickle does when it is read by whoever trusts it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo executed > executed",)


def files(size: int) -> Iterator[tuple[str, bytes]]:
    """Hostile model files by name; the large ones have about so many bytes."""
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
    # What it says about itself
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


# What is strange and yet a model.
SOUND = {
    "a good model of much memory", "a vocabulary of all there is",
    f"batch_size {2**31 - 1}", f"seq_length {2**31 - 1}",
}  # fmt: skip


def big_model(size: int) -> bytes:
    """A model that is as it should be, of about so many bytes, with slots as many again if made."""
    H = int((size / 4) ** 0.5)
    config = {"hidden_size": H, "optimizer": "adam"}
    return serialize(arrays(3, H), metadata={"charloom": json.dumps(about(config=config))})


def big_vocabulary(K: int) -> bytes:
    """A model of so many characters, and of one unit."""
    text = json.dumps(about(config={"hidden_size": 1}, vocabulary=list(range(K))))
    return serialize(arrays(K, 1), metadata={"charloom": text})


# Runs: a good one, in which something is not


def link(name: str, target: str) -> Build:
    """In the run, a link leads elsewhere."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(target)
        return run

    return build


def link_to_mine(name: str) -> Build:
    """In the run, a link in the place of a directory leads into another run of the user's."""

    def build(run: Path, _: int) -> Path:
        shutil.rmtree(run / name)
        (run / name).symlink_to(run.parent / MINE / name)
        return run

    return build


def pipe(name: str) -> Build:
    """In the run, a pipe waits for a writer that never comes."""

    def build(run: Path, _: int) -> Path:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)
        return run

    return build


def data(name: str, content: Callable[[int], bytes] | bytes) -> Build:
    """In the run, a file has other bytes."""

    def build(run: Path, size: int) -> Path:
        (run / name).write_bytes(content if isinstance(content, bytes) else content(size))
        return run

    return build


def text_of(**changes: Any) -> Build:
    """In config.json, the run names another text."""

    def build(run: Path, _: int) -> Path:
        values = json.loads((run / "config.json").read_bytes())
        values["text"] |= changes
        del values["sha256"]  # a stranger could make another
        (run / "config.json").write_text(json.dumps(values))
        return run

    return build


def another_text(run: Path, size: int) -> Path:
    """In config.json, the run names another file of the user's as its text."""
    return text_of(sources=[str(run.parent / "diary")])(run, size)


def guessed_names(run: Path, _: int) -> Path:
    """Links lie where a writer's temporary files would be, for one who guesses what is drawn."""
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
    """What this process does while it opens a file: an audit hook, which nothing can take away."""

    def __init__(self, allowed: Path) -> None:
        self.seen: list[str] = []
        self.looking = False
        self.allowed = str(allowed)
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what is forbidden, and every file elsewhere that is opened."""
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
        """While it lasts, it is noted."""
        self.looking = True
        try:
            yield
        finally:
            self.looking = False


MINE = "mine"  # another run of the user's
KEPT = ("secret", "precious", MINE)

# Where the interpreter and its packages lie: what is imported late is no deed of the file's.
HARMLESS = (sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent / "src"), "/proc/self")


def memory() -> tuple[int, int]:
    """Bytes of memory that this process has now, and had at most."""
    found = dict(
        line.split(":", 1)
        for line in Path("/proc/self/status")
        .read_text(encoding="ascii", errors="replace")
        .splitlines()
        if line.startswith(("VmRSS", "VmHWM"))
    )
    now, most = (int(found[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


# What a report shows; other hostile runs are drawn in the long version alone, for that takes a second.
SHOWN = ("passage", "samples", "record", "name", "gradcheck")


def openers(path: Path, drawn: bool) -> dict[str, Callable[[], object]]:
    """Every way in which a path is opened; `drawn`: a report of a run as well."""
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
    """How often an error was the answer, how often not, and the bytes of memory beside twice the size
    that it took at most."""

    refused: int
    opened: int
    most: int


def open_all(name: str, path: Path, watch: Watch, size: int, everything: bool) -> Opened:
    """Open one hostile thing in every way.

    Raises:
        AssertionError: something else came of it.
    """
    from charloom.errors import CharloomError

    refused = opened = most = 0
    drawn = everything or any(part in name for part in SHOWN)
    for how, action in openers(path, drawn).items():
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most begins anew
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
    """A signal says that something never ends."""
    raise TimeoutError("never ends")


def main(place: Path, size: int, everything: bool = False) -> Figures:
    """Make all hostile files under a folder, open each, and see that nothing else was touched."""
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
    """Every file of a run."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def open_once(run: Path) -> None:
    """Open what is good in every way, so that what is imported late is there."""
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
