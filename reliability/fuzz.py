"""Any bytes for the loader and for the reader of texts: mutated by a seed, or led by coverage (atheris).

What must hold of each input is the same for both: an error of charloom's, or a result that is right.
"""

import contextlib
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from charloom.config import Config
from charloom.errors import CharloomError, EncodingError, TextError
from charloom.exchange import read_torch_file, torch_bytes
from charloom.model import Learner, copy_learner, new_learner
from charloom.store import checkpoint, layout
from charloom.text import Vocabulary, reading
from charloom.text.reading import encode, fingerprint, scan
from charloom.text.sources import Source

ROOT = Path(__file__).parent.parent
SLOW = 5.0  # seconds of a processor for one input
BOM = b"\xef\xbb\xbf"


# The loader


def a_learner() -> Learner:
    """A small learner with slots and state."""
    config = Config(cell="gru", hidden_size=2, seq_length=3, optimizer="adam")
    learner = new_learner(config, Vocabulary("ab\n"))
    learner.update, learner.smooth_loss = 3, 1.5
    return learner


LEARNER = a_learner()
LENGTHS = {"metrics.jsonl": 5, "samples.jsonl": 6}
PARTS = checkpoint.checkpoint_files(LEARNER, LENGTHS, hashlib.sha256(b"").hexdigest())
MODEL = PARTS[checkpoint.MODEL]
HEADER = int.from_bytes(MODEL[:8], "little")
ABOUT = json.loads(MODEL[8 : 8 + HEADER])
SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
FILE = Path(os.environ.get("CHARLOOM_SCRATCH", SCRATCH)) / f"charloom-fuzz-{os.getpid()}"


def as_model(data: bytes) -> None:
    """A whole model file."""
    learner = checkpoint.parse_model(data, "it")
    checkpoint.require_finite(learner)
    again = checkpoint.parse_model(checkpoint.model_bytes(learner), "it")
    assert again.config == learner.config


def as_metadata(data: bytes) -> None:
    """What a model file says about itself, its tensors as they should be."""
    text = data.decode("utf-8", "replace")
    header = json.dumps({**ABOUT, "__metadata__": {"charloom": text}}).encode()
    as_model(len(header).to_bytes(8, "little") + header + MODEL[8 + HEADER :])


def as_training(data: bytes) -> None:
    """Slots and state."""
    learner = copy_learner(LEARNER)
    checkpoint.read_training(data, learner, "it")
    checkpoint.require_finite(learner)


def as_state(data: bytes) -> None:
    """Counters, lengths, fingerprint."""
    learner = copy_learner(LEARNER)
    checkpoint.read_state(data, learner, "it")
    checkpoint.require_finite(learner)


def as_torch(data: bytes) -> None:
    """A PyTorch file."""
    FILE.write_bytes(data)
    checkpoint.require_finite(read_torch_file(FILE))


def as_about(data: bytes) -> None:
    """A run's config.json, and a pointer."""
    folder = FILE.with_suffix(".run")
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(data)
    (folder / "checkpoints" / "latest").write_bytes(data)
    with contextlib.suppress(CharloomError):
        layout.read_about(folder)
    layout.read_pointer(folder, "latest")


LOADERS: tuple[Callable[[bytes], None], ...] = (
    as_model, as_metadata, as_training, as_state, as_torch, as_about,
)  # fmt: skip
SEEDS = (
    MODEL,
    ABOUT["__metadata__"]["charloom"].encode(),
    PARTS[checkpoint.TRAINING],
    PARTS[checkpoint.STATE],
    torch_bytes(LEARNER, "it"),
    b"40 " + b"0" * 64 + b"\n",
)


def loader(data: bytes) -> None:
    """One input: its first byte says as what the rest is read."""
    if data:
        with contextlib.suppress(CharloomError):
            LOADERS[data[0] % len(LOADERS)](data[1:])


# The reader of texts


def text(data: bytes) -> None:
    """One input: the first two bytes say how the rest is read; it is read exactly, or refused at the
    right place."""
    if len(data) < 2:
        return
    tokens = "bytes" if data[0] & 1 else "characters"
    raw, block, content = bool(data[0] & 2), 1 + data[1] % 16, data[2:]
    if data[0] & 4:
        block = reading.BLOCK
    before, reading.BLOCK = reading.BLOCK, block  # type: ignore[misc]
    try:
        source = Source("it", "", raw, held=io.BytesIO(content))
        read = content if raw or tokens == "bytes" else content.removeprefix(BOM)
        try:
            found = scan([source], tokens)
            vocabulary = Vocabulary([*map(chr, found.values), "a", "b"], tokens)
            table = vocabulary.treatment(found.values, found.counts, "refuse", "").table
            blocks = list(encode([source], tokens, table, False))
        except EncodingError as error:
            assert tokens == "characters", "bytes were refused"
            assert error.offset == first_bad(content, raw), f"wrong place {error.offset}"
        except TextError:
            assert not read, "refused for no reason"
        else:
            ids = [int(one) for block_of in blocks for one in block_of]
            assert vocabulary.to_bytes(ids) == read, "another text came out"
            assert tokens == "bytes" or first_bad(content, raw) is None, "taken for text"
            assert found.fingerprint == hashlib.sha256(read).hexdigest()
            assert fingerprint([source], tokens) == found.fingerprint
            assert int(found.counts.sum()) == len(ids)
    finally:
        reading.BLOCK = before  # type: ignore[misc]


def first_bad(content: bytes, raw: bool) -> int | None:
    """The offset of the first byte that no text has; None where all is well."""
    if not raw and content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return 0
    places = []
    if not raw and b"\0" in content:
        places.append(content.index(b"\0"))
    try:
        content.decode("utf-8", "surrogatepass" if raw else "strict")
    except UnicodeDecodeError as error:
        places.append(error.start)
    return min(places, default=None)


TEXTS = tuple(
    bytes([mode, 3]) + sample
    for mode in range(8)
    for sample in (b"plain", "Zw\u00f6lf \u6f22\U0001f600".encode(), BOM + b"a\r\nb", b"\xed\xa0\x80",
                   "wide".encode("utf-16"), b"a\0b", b"caf\xe9")
)  # fmt: skip

TARGETS: dict[str, tuple[Callable[[bytes], None], tuple[bytes, ...]]] = {
    "loader": (loader, tuple(bytes([kind]) + seed for kind, seed in enumerate(SEEDS))),
    "text": (text, TEXTS),
}


# The two ways to make inputs


def by_chance(target: str, inputs: int, seed: int) -> int:
    """Mutate the seeds by a seeded generator; returns how many inputs were tried."""
    action, seeds = TARGETS[target]
    draw = random.Random(seed)
    for number in range(inputs):
        data = mutated(bytearray(seeds[number % len(seeds)]), draw)
        try:
            timed(action, data)
        except Exception as error:
            raise AssertionError(f"{target}, input {number}, {data[:200]!r}: {error!r}") from error
    remove_scratch()
    return inputs


def mutated(data: bytearray, draw: random.Random) -> bytes:
    """A few bytes of it are others, gone, or repeated; the first stays, for it says what it is."""
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(1, len(data) + 1)
        kind = draw.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[place : place + draw.randint(1, 20)]
        elif kind == 2:
            data[place:place] = draw.randbytes(draw.randint(1, 8))
        elif kind == 3:
            data[place:place] = data[place : place + draw.randint(1, 30)] * draw.randint(1, 3)
        else:
            data[place:place] = draw.choice(PIECES)
    return bytes(data)


PIECES = (
    b"null", b"true", b"-1", b"1e999", b"NaN", b"9" * 25, b"[]", b"{}", b'"\\ud800"', b"\0",
    b"\xff", b"\xed\xa0\x80", b"[[[[", b'"shape":[4294967296,4294967296]', BOM, b"\r",
)  # fmt: skip


def timed(action: Callable[[bytes], None], data: bytes) -> None:
    """One input, which takes no more than a few seconds of a processor."""
    began = time.process_time()
    action(data)
    seconds = time.process_time() - began
    assert seconds < SLOW, f"took {seconds:.1f} s"


def remove_scratch() -> None:
    """Remove what the targets wrote."""
    import shutil

    FILE.unlink(missing_ok=True)
    shutil.rmtree(FILE.with_suffix(".run"), ignore_errors=True)


def with_coverage(target: str, inputs: int, seed: int) -> int:
    """Let atheris make inputs, led by what they reach, in a process of its own; returns how many."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
        folder = f"{scratch}/inputs"
        Path(folder).mkdir()
        for number, data in enumerate(TARGETS[target][1]):
            (Path(folder) / f"seed-{number}").write_bytes(data)
        command = [sys.executable, "-m", "reliability.guided", target, folder]
        options = [f"-runs={inputs}", f"-seed={seed}", "-max_len=8192", "-timeout=600",
                   "-rss_limit_mb=2048", f"-artifact_prefix={scratch}/", "-print_final_stats=1"]  # fmt: skip
        done = subprocess.run(
            [*command, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "CHARLOOM_SCRATCH": scratch},
        )
        assert "No module named 'atheris'" not in done.stderr, "pip install 'charloom[fuzz]'"
        kept = sorted(Path(scratch).glob("crash-*")) + sorted(Path(scratch).glob("oom-*"))
        told = "; ".join(repr(path.read_bytes()[:300]) for path in kept)
        assert done.returncode == 0, f"{target}: {told}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    executed, added = (
        re.search(rf"{figure}:\s*(\d+)", done.stderr + done.stdout)
        for figure in ("number_of_executed_units", "new_units_added")
    )
    assert executed, done.stderr[-1000:]
    assert added, done.stderr[-1000:]
    assert int(added[1]), f"{target}: no input reached anything new: is coverage seen at all?"
    return int(executed[1])
