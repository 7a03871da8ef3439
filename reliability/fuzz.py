"""Fuzzes the loaders and the reader of texts, with random mutations or guided by coverage (atheris).

Both ways have the same rule: each input must give one of charloom's errors or a right result. Most inputs
are refused. If all were, the code behind the first checks would never run. So the initial inputs have no
seal where the format allows that, and some fraction of the random inputs of each kind must be accepted.
Guided by coverage, the fuzzer finds new ways to be refused instead, and hardly any of its inputs is accepted.
"""

import hashlib
import io
import json
import mmap
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charloom import run_file_names
from charloom.canonical_form import SEAL
from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import CharloomError, EncodingError, TextError
from charloom.model import Learner, copy_learner, new_learner
from charloom.pytorch_format import read_torch_file, torch_bytes
from charloom.store import (
    checkpoint,
    checkpoint_directory,
    journal,
    journal_lines,
    model_file,
    resume_plan,
    run_checkpoints,
    run_settings,
    training_state,
)
from charloom.store.atomic_files import blocks_of
from charloom.text import Vocabulary, block_reader
from charloom.text.block_reader import encode, fingerprint, scan
from charloom.text.sources import Source
from charloom.text.unknown_policy import REFUSE

ROOT = Path(__file__).parent.parent
SLOW = 5.0  # processor seconds that one input may take
BOM = b"\xef\xbb\xbf"


# The loader


def a_learner() -> Learner:
    """Return a small learner with optimizer slots and a hidden state."""
    config = Config(cell="gru", hidden_size=2, seq_length=3, optimizer="adam")
    learner = new_learner(config, Vocabulary("ab\n"))
    learner.update, learner.smooth_loss = 3, 1.5
    return learner


LEARNER = a_learner()
LENGTHS = {"metrics.jsonl": 5, "samples.jsonl": 6}
PARTS = {
    name: b"".join(blocks_of(data))
    for name, data in checkpoint.checkpoint_files(
        LEARNER, LENGTHS, hashlib.sha256(b"").hexdigest()
    ).items()
}
MODEL = PARTS[checkpoint_directory.MODEL]

SCRATCH = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
PLACE = Path(os.environ.get("CHARLOOM_SCRATCH", SCRATCH))
FILE = PLACE / f"charloom-fuzz-{os.getpid()}"
RUN = FILE.with_suffix(".run")


def header_of(model: bytes) -> tuple[int, dict[str, Any]]:
    """Return the length of the header of a model file in bytes, and the header."""
    length = int.from_bytes(model[:8], "little")
    return length, json.loads(model[8 : 8 + length])


def ngram_model() -> bytes:
    """Return a small model file with n-grams and without a seal."""
    config = Config(hidden_size=1, ngram_order=3)
    learner = new_learner(config, Vocabulary("ab\n"))
    ids = np.frombuffer(b"abba\nab\nabb\nbaab", np.uint8) % 3
    segments = np.array([[0, len(ids)]])
    learner.ngrams = open_engine("reference").count_ngrams(config, 3, ids, segments)
    model = model_file.model_bytes(learner)
    text = header_of(model)[1]["__metadata__"]["charloom"]
    return with_metadata(without_seal(text), model)


def with_metadata(text: str, model: bytes = MODEL) -> bytes:
    """Return a model file with `text` as its metadata."""
    length, about = header_of(model)
    header = json.dumps({**about, "__metadata__": {"charloom": text}}).encode()
    return len(header).to_bytes(8, "little") + header + model[8 + length :]


def without_seal(text: str) -> str:
    """Return the metadata of a model file without the seal, in the format from before seals."""
    values = json.loads(text)
    del values[SEAL]
    values["format"] = 1  # the last format without a seal
    return json.dumps(values)


def as_model(data: bytes) -> None:
    """Read a whole model file."""
    learner = model_file.parse_model(data, "it")
    training_state.require_finite(learner)
    again = model_file.parse_model(model_file.model_bytes(learner), "it")
    assert again.config == learner.config


def as_metadata(data: bytes) -> None:
    """Read a model file with this metadata and right tensors."""
    as_model(with_metadata(data.decode("utf-8", "replace")))


def as_training(data: bytes) -> None:
    """Read the optimizer slots and the hidden state of a checkpoint."""
    learner = copy_learner(LEARNER)
    training_state.read_training(data, learner, "it")
    training_state.require_finite(learner)


def as_state(data: bytes) -> None:
    """Read state.json: the counters, the lengths of the journals and the fingerprint of the text."""
    learner = copy_learner(LEARNER)
    training_state.read_state(data, learner, "it")
    training_state.require_finite(learner)


def as_checkpoint(data: bytes) -> None:
    """Read a checkpoint with one changed file, whose right hash is in the MANIFEST."""
    if data:
        name = checkpoint_directory.FILES[data[0] % len(checkpoint_directory.FILES)]
        files = {one: PARTS[one] for one in checkpoint_directory.FILES} | {name: data[1:]}
        found = read_checkpoint(
            {**files, checkpoint_directory.MANIFEST: checkpoint_directory.manifest_of(files)}
        )
        training_state.require_finite(found.learner)


def as_manifest(data: bytes) -> None:
    """Read a checkpoint with this MANIFEST; only the right MANIFEST may be accepted."""
    read_checkpoint({**PARTS, checkpoint_directory.MANIFEST: data})
    assert data == PARTS[checkpoint_directory.MANIFEST], "a false MANIFEST was taken"


def read_checkpoint(files: dict[str, bytes]) -> checkpoint.Checkpoint:
    """Write these files into a checkpoint directory, and load the checkpoint."""
    folder = RUN / "checkpoints" / "3"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        if lying.get(name) != data:
            (folder / name).write_bytes(data)
            lying[name] = data
    return checkpoint.load_checkpoint(folder)


lying: dict[str, bytes] = {}  # the present contents of the files in that directory


def as_torch(data: bytes) -> None:
    """Read a PyTorch file."""
    FILE.write_bytes(data)
    training_state.require_finite(read_torch_file(FILE))


def as_about(data: bytes) -> None:
    """Read the config.json of a run."""
    RUN.mkdir(exist_ok=True)
    (RUN / run_file_names.CONFIG).write_bytes(data)
    settings = run_settings.read_settings(RUN)
    assert Config.from_dict(settings.config.to_dict()) == settings.config
    assert run_settings.parse_settings(run_settings.settings_bytes(settings), FILE) == settings


def as_pointer(data: bytes) -> None:
    """Read the pointer `latest`, which names a checkpoint."""
    folder = RUN / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / run_file_names.LATEST).write_bytes(data)
    update = run_checkpoints.read_pointer(RUN, run_file_names.LATEST)
    assert update is not None
    assert data.startswith(b"%d" % update)


def as_journal(data: bytes) -> None:
    """Read the journal of a run's events, and apply its changes of the learning rate."""
    FILE.write_bytes(data)
    events = journal.read_lines(FILE)
    assert len(events) == data.count(b"\n")
    learner = copy_learner(LEARNER)
    resume_plan.restore_steering(learner, events)
    journal_lines.last_engine(events)
    training_state.require_finite(learner)


LOADERS: tuple[Callable[[bytes], None], ...] = (
    as_model, as_metadata, as_training, as_state, as_checkpoint, as_manifest, as_torch, as_about,
    as_pointer, as_journal,
)  # fmt: skip
TOLD = header_of(MODEL)[1]["__metadata__"]["charloom"]
RUN_TOLD = {
    "format": 1,
    "config": LEARNER.config.to_dict(),
    "text": {"name": "it", "fingerprint": "0" * 64, "sources": ["/it.txt"], "characters": 9,
             "vocabulary_size": 3},
    "version": "0.1.0",
}  # fmt: skip
EVENTS = (
    b'{"event":"created","time":1.5,"update":0}\n'
    b'{"engine":"reference","event":"resumed","time":2.5,"update":3}\n'
    b'{"event":"learning_rate_factor","learning_rate_factor":0.5,"time":3.5,"update":4}\n'
)
# The initial inputs for each loader.
SEEDS: dict[str, tuple[bytes, ...]] = {
    "as_model": (with_metadata(without_seal(TOLD)), MODEL, ngram_model()),
    "as_metadata": (without_seal(TOLD).encode(), TOLD.encode()),
    "as_training": (PARTS[checkpoint_directory.TRAINING],),
    "as_state": (PARTS[checkpoint_directory.STATE],),
    "as_checkpoint": tuple(
        bytes([n]) + PARTS[name] for n, name in enumerate(checkpoint_directory.FILES)
    ),
    "as_manifest": (PARTS[checkpoint_directory.MANIFEST],),
    "as_torch": (torch_bytes(LEARNER, "it"),),
    "as_about": (json.dumps(RUN_TOLD).encode(),),
    "as_pointer": (b"40 " + b"0" * 64 + b"\n", b"40\n"),
    "as_journal": (EVENTS,),
}


class Counts:
    """Counts the inputs of each kind, and how many were accepted.

    With a `path`, the counts are in a file, and remain when the process ends.
    """

    KINDS = (*SEEDS, "text")
    # A changed MANIFEST is never right, so it is never accepted.
    NEVER = ("as_manifest",)

    def __init__(self, path: Path | None) -> None:
        size = 16 * len(self.KINDS)
        if path is None:
            self._numbers = memoryview(mmap.mmap(-1, size)).cast("Q")
        else:
            if not path.exists():
                path.write_bytes(bytes(size))
            with path.open("r+b") as file:
                self._numbers = memoryview(mmap.mmap(file.fileno(), size)).cast("Q")

    def count(self, kind: str, accepted: bool) -> None:
        """Count one input."""
        place = 2 * self.KINDS.index(kind)
        self._numbers[place] += 1
        self._numbers[place + 1] += accepted

    def shares(self) -> dict[str, float]:
        """Return the accepted share of the inputs of each kind."""
        tried, accepted = self._numbers[::2].tolist(), self._numbers[1::2].tolist()
        return {
            kind: taken / number
            for kind, number, taken in zip(self.KINDS, tried, accepted, strict=True)
            if number
        }

    def require_some(self, least: float) -> None:
        """Require that some inputs of each kind are accepted.

        Raises:
            AssertionError: the accepted share of a kind is below `least`.
        """
        shares = self.shares()
        low = [kind for kind in shares if kind not in self.NEVER and shares[kind] < least]
        assert not low, f"hardly any input of {', '.join(low)} gets in: {self}"

    def __str__(self) -> str:
        """Return the shares as text."""
        return ", ".join(f"{kind} {100 * share:.3g} %" for kind, share in self.shares().items())


COUNTED = PLACE / "counted"
counts = Counts(COUNTED if "CHARLOOM_SCRATCH" in os.environ else None)


def loader(data: bytes) -> None:
    """Load one input; its first byte selects the loader for the rest."""
    if not data:
        return
    action = LOADERS[data[0] % len(LOADERS)]
    try:
        action(data[1:])
    except CharloomError:
        counts.count(action.__name__, accepted=False)
    else:
        counts.count(action.__name__, accepted=True)


# The reader of texts


def text(data: bytes) -> None:
    """Read one input as a text; the result must be exact, or the error must have the right offset.

    The first two bytes select how the rest is read.
    """
    if len(data) < 2:
        return
    tokens = "bytes" if data[0] & 1 else "characters"
    raw, block, content = bool(data[0] & 2), 1 + data[1] % 16, data[2:]
    if data[0] & 4:
        block = block_reader.BLOCK
    before, block_reader.BLOCK = block_reader.BLOCK, block  # type: ignore[misc]
    try:
        source = Source("it", "", raw, content=io.BytesIO(content))
        read = content if raw or tokens == "bytes" else content.removeprefix(BOM)
        try:
            found = scan([source], tokens)
            vocabulary = Vocabulary([*map(chr, found.values), "a", "b"], tokens)
            table = vocabulary.encoding_plan(found.values, found.counts, REFUSE).table
            blocks = list(encode([source], tokens, table, False, found.fingerprint))
        except EncodingError as error:
            assert tokens == "characters", "bytes were refused"
            assert error.offset == first_bad(content, raw), f"wrong place {error.offset}"
            counts.count("text", accepted=False)
        except TextError:
            assert not read, "refused for no reason"
            counts.count("text", accepted=False)
        else:
            counts.count("text", accepted=True)
            ids = [int(one) for block_of in blocks for one in block_of]
            assert vocabulary.to_bytes(ids) == read, "another text came out"
            assert tokens == "bytes" or first_bad(content, raw) is None, "taken for text"
            assert found.fingerprint == hashlib.sha256(read).hexdigest()
            assert fingerprint([source], tokens) == found.fingerprint
            assert int(found.counts.sum()) == len(ids)
    finally:
        block_reader.BLOCK = before  # type: ignore[misc]


def first_bad(content: bytes, raw: bool) -> int | None:
    """Return the offset of the first wrong byte; None if all bytes are right."""
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
    "loader": (
        loader,
        tuple(
            bytes([kind]) + seed
            for kind, action in enumerate(LOADERS)
            for seed in SEEDS[action.__name__]
        ),
    ),
    "text": (text, TEXTS),
}


# The two ways to generate inputs


class Fuzzed(NamedTuple):
    """The number of inputs, and as text the accepted share of each kind."""

    inputs: int
    accepted: str


LEAST = 0.01  # the smallest accepted share of the random inputs of each kind


def by_chance(target: str, inputs: int, seed: int) -> Fuzzed:
    """Run a target on random mutations of its initial inputs."""
    global counts
    counts = Counts(None)
    action, seeds = TARGETS[target]
    draw = random.Random(seed)
    for number in range(inputs):
        data = mutated(bytearray(seeds[number % len(seeds)]), draw)
        try:
            timed(action, data)
        except Exception as error:
            raise AssertionError(f"{target}, input {number}, {data[:200]!r}: {error!r}") from error
    remove_scratch()
    counts.require_some(LEAST)
    return Fuzzed(inputs, str(counts))


def mutated(data: bytearray, draw: random.Random) -> bytes:
    """Return the data with a few bytes changed, removed or repeated, but not the first, which selects the loader.

    Often only digits change, which keeps JSON valid, or bits in the second half, which contains arrays.
    """
    gently = draw.choice(("", "digits", "bits"))
    digits = [place for place in range(1, len(data)) if data[place] in b"0123456789"]
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(1, len(data) + 1)
        kind = draw.randrange(5)
        if gently == "bits":
            data[draw.randrange(len(data) // 2, len(data))] ^= 1 << draw.randrange(8)
        elif gently and digits:
            place = draw.choice(digits)
            data[place] = b"0123456789"[(data[place] - b"0"[0] + draw.randint(1, 9)) % 10]
        elif kind == 0 and place < len(data):
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
    """Run an action on one input; raise AssertionError if it takes more than `SLOW` processor seconds."""
    began = time.process_time()
    action(data)
    seconds = time.process_time() - began
    assert seconds < SLOW, f"took {seconds:.1f} s"


def remove_scratch() -> None:
    """Remove the files that the targets wrote."""
    import shutil

    lying.clear()
    FILE.unlink(missing_ok=True)
    shutil.rmtree(RUN, ignore_errors=True)


def with_coverage(target: str, inputs: int, seed: int) -> Fuzzed:
    """Run a target in a separate process with inputs that atheris generates, guided by coverage."""
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
        contents = "; ".join(repr(path.read_bytes()[:300]) for path in kept)
        assert done.returncode == 0, (
            f"{target}: {contents}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
        accepted = str(Counts(Path(scratch) / COUNTED.name))
    executed, added = (
        re.search(rf"{figure}:\s*(\d+)", done.stderr + done.stdout)
        for figure in ("number_of_executed_units", "new_units_added")
    )
    assert executed, done.stderr[-1000:]
    assert added, done.stderr[-1000:]
    assert int(added[1]), f"{target}: no input reached anything new: is coverage seen at all?"
    return Fuzzed(int(executed[1]), accepted)
