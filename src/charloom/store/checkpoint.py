"""Writes and reads a checkpoint: a directory of four files with a learner (spec/formats.md: Checkpoints).

    model.safetensors     parameters; config and vocabulary as metadata; usable alone as a model file
    training.safetensors  optimizer slots and hidden state
    state.json            counters, the lengths of the run's journals, the text's fingerprint
    MANIFEST              SHA-256, length and name of each other file

The directory appears complete or not at all. Files may be untrusted: their contents are checked against
the config before they are used, and never executed. This module does not know runs.
"""

import hashlib
import math
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from charloom.canonical_form import SEAL, canonical_json
from charloom.config import Config
from charloom.errors import (
    ConfigError,
    DamagedError,
    DivergedError,
    NotAModelError,
)
from charloom.formatting import count, counted, shortened
from charloom.model import Learner, parameter_shapes, zero_slots, zero_state
from charloom.model.optimizers import SQUARES
from charloom.run_file_names import CHECKPOINTS
from charloom.store.atomic_files import (
    Block,
    Data,
    blocks_of,
    create_directory,
    read_file,
    reading,
    require_directory,
)
from charloom.store.damage import Damage, attempt, require
from charloom.store.format_versions import (
    MODEL_FORMAT,
    MODEL_WITH_UPDATE,
    SEALED,
    STATE_FORMAT,
    require_format,
    require_sealed_format,
)
from charloom.store.json_format import parse_object
from charloom.store.tensor_file import tensor_blocks
from charloom.text import Vocabulary
from charloom.text.vocabulary import BYTES, CODE_POINTS

METADATA_KEY: Final = "charloom"
UPDATE: Final = "update"  # field in the metadata of a model file
MODEL: Final = "model.safetensors"
TRAINING: Final = "training.safetensors"
STATE: Final = "state.json"
MANIFEST: Final = "MANIFEST"
FILES: Final = (MODEL, STATE, TRAINING)

SAFETENSORS_DTYPES: Final = {"F32": np.float32, "F64": np.float64}
COUNT_LIMIT: Final = 2**63

# Limits on the memory that an untrusted file can use besides its arrays. The longest possible metadata,
# with a vocabulary of all code points, have 7.7 MB. When JSON is parsed, each bracket costs many bytes.
MOST_METADATA: Final = 8 << 20  # bytes
MOST_BRACES: Final = 1 << 14  # a tensor has one opening brace, two brackets and four colons
MOST_COMMAS: Final = CODE_POINTS + MOST_BRACES * 8  # the commas of a vocabulary and of the tensors
MOST_STATE: Final = 1 << 16  # bytes
MOST_MANIFEST: Final = 1 << 12  # bytes
OTHERWISE: Final = "Use another checkpoint, or a copy."

WHOLE_COUNTERS: Final = (
    "update", "epoch", "position", "pending_updates", "judgements_since_best", "rollbacks"
)  # fmt: skip
NUMBER_COUNTERS: Final = ("pending_loss", "learning_rate_factor")
OPTIONAL_COUNTERS: Final = ("smooth_loss", "best_loss", "best_update")
COUNTERS: Final = WHOLE_COUNTERS + NUMBER_COUNTERS + OPTIONAL_COUNTERS
LATER_COUNTERS: Final = (
    "judgements_since_best",
    "rollbacks",
)  # format 1 lacks them; they are 0 then

# Values for settings that files of earlier versions lack (spec/formats.md: Settings).
BEFORE: Final = {"judged_characters": 0}

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint directory.

    Attributes:
        learner: the learner, bit for bit as it was saved.
        lengths: length of each of the run's journals when it was saved, in bytes, by file name.
        fingerprint: fingerprint of the text, as `Corpus.fingerprint`.
    """

    learner: Learner
    lengths: dict[str, int]
    fingerprint: str


def save_checkpoint(
    directory: Path, learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> None:
    """Write a checkpoint directory, which appears complete and durable.

    Raises:
        DivergedError: a number in the learner is not finite; nothing was written.
        WriteError: the disk failed, or the directory exists: a checkpoint never changes.
    """
    create_directory(directory, checkpoint_files(learner, lengths, fingerprint))


@dataclass(frozen=True)
class CheckpointHeader:
    """The two small files of a checkpoint, which identify it; each was read once.

    Attributes:
        directory: the checkpoint directory.
        manifest: the bytes of MANIFEST; None if it does not exist.
        state: the bytes of state.json; None if it does not exist.
    """

    directory: Path
    manifest: bytes | Damage | None
    state: bytes | Damage | None

    def fields(self) -> dict[str, Any] | None:
        """Return the fields of state.json; None if MANIFEST does not confirm its bytes.

        Raises:
            DamagedError: state.json or MANIFEST is not a plain file, or state.json is not a JSON object.
        """
        state, manifest = require(self.state) or b"", require(self.manifest) or b""
        if manifest_of({STATE: state}).strip() not in manifest.splitlines():
            return None
        return parse_object(state, str(self.directory / STATE))

    @property
    def best_update(self) -> int | None:
        """The update of the best checkpoint when this one was saved; None if it is not known."""
        with suppress(DamagedError):
            counters = (self.fields() or {}).get("counters")
            best = counters.get("best_update") if isinstance(counters, dict) else None
            return best if is_count(best) else None
        return None

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later version of charloom wrote the checkpoint.

        The format number is in state.json. It counts only if MANIFEST confirms the bytes of that file.
        """
        with suppress(DamagedError):
            state = self.fields()
            if state is not None:
                require_format(state, STATE_FORMAT, str(self.directory / STATE))


def read_header(directory: Path) -> CheckpointHeader:
    """Read MANIFEST and state.json of a checkpoint, and no other file.

    Raises:
        ReadError: the disk failed while reading.
    """
    linked = attempt(lambda: require_no_link(directory))
    if isinstance(linked, Damage):
        return CheckpointHeader(directory, linked, linked)
    return CheckpointHeader(
        directory,
        attempt(lambda: read_file(directory / MANIFEST, MOST_MANIFEST)),
        attempt(lambda: read_file(directory / STATE, MOST_STATE)),
    )


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint directory and verify every byte.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: its bytes were changed, or its files contradict each other.
    """
    with reading(directory):
        header = read_header(directory)
        return parse_checkpoint(header, read_verified(header))


def parse_checkpoint(header: CheckpointHeader, files: Mapping[str, bytes]) -> Checkpoint:
    """Return the checkpoint with these files, as returned by `read_verified`.

    Raises:
        NewerFormatError: a later version of charloom wrote it.
        DamagedError: its files contradict each other.
    """
    directory = header.directory
    header.refuse_newer()  # fields of a later version can look like damage
    learner = parse_model(files[MODEL], str(directory / MODEL))
    read_training(files[TRAINING], learner, str(directory / TRAINING))
    lengths, fingerprint = read_state(files[STATE], learner, str(directory / STATE))
    return Checkpoint(learner, lengths, fingerprint)


def load_model_file(path: Path) -> Learner:
    """Return the learner in a single model file, at update 0 and with the zero state.

    Raises:
        NotAModelError: the file does not exist or is not a charloom model.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: the model is damaged.
    """
    return parse_model(read_model_file(path), str(path))


def update_of_file(path: Path) -> int | None:
    """Return after how many updates the model in a file was saved; None if the file does not say.

    Raises the errors of `load_model_file`.
    """
    update = parse_about(read_model_file(path, 8 + MOST_METADATA), str(path)).get(UPDATE)
    return update if is_count(update) else None


def read_model_file(path: Path, most: int = -1) -> bytes:
    """Return the bytes of a file that a user named; at most the first `most`, or all for -1.

    Raises:
        NotAModelError: the file does not exist, or is a pipe or a device, which may never end.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise NotAModelError(f"{shortened(path)} is not a model: it is not a plain file.")
            with path.open("rb") as file:
                return file.read(most)
        # ValueError: a NUL byte in the path.
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotAModelError(f"{shortened(path)} cannot be read: {reason}.") from None


# Writing


def checkpoint_files(
    learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> dict[str, Data]:
    """Return the four files of a checkpoint by name, as blocks that share the learner's memory."""
    require_finite(learner)
    training = {f"state/{name}": array for name, array in learner.state.items()}
    for slot, arrays in learner.slots.items():
        training |= {f"{slot}/{name}": array for name, array in arrays.items()}
    state = canonical_json(
        {
            "format": STATE_FORMAT,
            "counters": {name: getattr(learner, name) for name in COUNTERS},
            "lengths": dict(lengths),
            "fingerprint": fingerprint,
        }
    )
    files: dict[str, Data] = {
        MODEL: model_blocks(learner),
        STATE: state,
        TRAINING: tensor_blocks(training),
    }
    return {**files, MANIFEST: manifest_of(files)}


def model_bytes(learner: Learner, update: int | None = None) -> bytes:
    """Return the bytes of `model_blocks` as one object."""
    return b"".join(model_blocks(learner, update))


def model_blocks(learner: Learner, update: int | None = None) -> list[Block]:
    """Return the blocks of a model file: the parameters, with config and vocabulary as metadata.

    The blocks share the learner's memory, so they must be written, in order, before it changes.

    Args:
        learner: the model.
        update: number of updates to store in the file. None or 0 stores none, as in a checkpoint,
            which has the number in state.json.
    """
    about: dict[str, Any] = {
        "format": MODEL_FORMAT,
        "config": learner.config.to_dict(),
        "vocabulary": [ord(character) for character in learner.vocabulary.characters],
    }
    if update:
        about[UPDATE] = update
    about[SEAL] = seal(about, learner.parameters)
    # One metadata key, because the library writes several in no fixed order.
    metadata = {METADATA_KEY: canonical_json(about).decode("ascii")}
    return tensor_blocks(learner.parameters, metadata)


def seal(about: Mapping[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 of a model's metadata and of each array's name and bytes."""
    digest = hashlib.sha256(canonical_json(dict(about)))
    for name, array in sorted(arrays.items()):
        digest.update(b"\n" + name.encode() + b"\n")
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def manifest_of(files: Mapping[str, Data]) -> bytes:
    """Return the contents of MANIFEST: per file, sorted by name, SHA-256, length in bytes and name."""
    lines = []
    for name, data in sorted(files.items()):
        digest, length = hashlib.sha256(), 0
        for block in blocks_of(data):
            digest.update(block)
            length += len(block)
        lines.append(f"{digest.hexdigest()} {length} {name}\n")
    return "".join(lines).encode("ascii")


def require_finite(learner: Learner) -> None:
    """Raise DivergedError if a number in the learner is not finite."""
    arrays = {**learner.parameters, **learner.state}
    for slot, values in learner.slots.items():
        arrays |= {f"{slot}/{name}": array for name, array in values.items()}
    numbers = {name: getattr(learner, name) for name in COUNTERS}
    wrong = [name for name, array in arrays.items() if not all_finite(array)]
    wrong += [name for name, x in numbers.items() if x is not None and not math.isfinite(x)]
    if wrong:
        raise DivergedError(
            f"at update {learner.update:,} {', '.join(wrong)} is no longer finite, so the checkpoint was not saved."
        )


# Reading


def read_verified(header: CheckpointHeader) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, verified against its MANIFEST.

    The files that `header` has are not read again.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: its bytes were changed.
    """
    try:
        return read_confirmed(header)
    except DamagedError:
        header.refuse_newer()  # files of a later version can look like damage
        raise


def read_confirmed(header: CheckpointHeader) -> dict[str, bytes]:
    """Return the files of a checkpoint of a known format by name; see `read_verified`."""
    directory = header.directory
    require_checkpoint(directory)
    known = {MANIFEST: header.manifest, STATE: header.state}
    files = {}
    for name in sorted((*FILES, MANIFEST)):
        data = require(known[name]) if name in known else read_file(directory / name)
        if data is None:
            raise DamagedError(f"checkpoint {directory} is damaged: missing {name}. {OTHERWISE}")
        files[name] = data
    manifest = files.pop(MANIFEST)
    if manifest_of(files) != manifest:
        lines = manifest.splitlines()
        wrong = [name for name in FILES if manifest_of({name: files[name]}).strip() not in lines]
        raise DamagedError(
            f"checkpoint {directory} is damaged: {', '.join(wrong) or 'the order of lines'} "
            f"and {MANIFEST} disagree. {OTHERWISE}"
        )
    return files


def require_checkpoint(directory: Path) -> None:
    """Raise unless a directory exists and has exactly the files of a checkpoint.

    Raises:
        NotAModelError: it does not exist or is not a checkpoint.
        DamagedError: it is a link, or files are missing or unexpected.
    """
    require_no_link(directory)
    try:
        found = sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise NotAModelError(f"checkpoint {directory} is missing.") from None
    if not {MANIFEST, MODEL} & set(found):
        raise NotAModelError(f"{directory} is not a checkpoint: it has no {MANIFEST}.")
    wanted = sorted((*FILES, MANIFEST))
    if found != wanted:
        raise DamagedError(
            f"checkpoint {directory} is damaged: {amiss(wanted, found)}. {OTHERWISE}"
        )


def require_no_link(directory: Path) -> None:
    """Raise DamagedError if a checkpoint, or a run's checkpoints directory, is a link."""
    if directory.parent.name == CHECKPOINTS:
        require_directory(directory.parent)
    require_directory(directory)


def amiss(wanted: Iterable[str], found: Iterable[str]) -> str:
    """Return the missing and the unexpected names as text."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    parts = []
    if missing:
        parts.append(f"missing {', '.join(missing)}")
    if extra:
        parts.append(f"unexpected {', '.join(map(repr, extra))}")
    return "; ".join(parts)


def metadata_of(data: bytes, what: str) -> dict[str, Any]:
    """Return the metadata of a safetensors file without reading its tensors."""
    header = parse_object(header_of(data, what), f"the header of {what}")
    metadata = header.get("__metadata__") or {}
    if not isinstance(metadata, dict):
        raise DamagedError(f"{what} is damaged: its metadata is not a JSON object.")
    return metadata


def parse_tensors(data: bytes, what: str) -> Arrays:
    """Return the arrays of a safetensors file.

    This uses only as much memory as the file has bytes: the library returns each tensor as separate
    bytes, and the arrays share them.
    """
    header_of(data, what)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise DamagedError(
            f"{what} is damaged: its header does not fit the data after it; its end may be missing. "
            f"Use a copy of it."
        ) from None
    arrays: Arrays = {}
    for name, tensor in tensors:
        if tensor["dtype"] not in SAFETENSORS_DTYPES:
            raise DamagedError(
                f"{what}: {shortened(name)} has the type {shortened(tensor['dtype'])}; a model has only "
                f"F32 or F64."
            )
        dtype = np.dtype(SAFETENSORS_DTYPES[tensor["dtype"]]).newbyteorder("<")
        values = np.frombuffer(tensor["data"], dtype).astype(dtype.newbyteorder("="), copy=False)
        if not values.flags.writeable:  # older versions of the library return read-only bytes
            values = values.copy()
        try:
            arrays[name] = values.reshape(tensor["shape"])
        except (ValueError, OverflowError):  # for example an empty tensor with a huge shape
            raise DamagedError(
                f"{what}: {shortened(name)} has the impossible shape {shortened(tensor['shape'])}."
            ) from None
    return arrays


def header_of(data: bytes, what: str) -> bytes:
    """Return the header of a safetensors file; raise if it is too large to be parsed safely."""
    if data[8:9] != b"{":  # the first byte of the header of every safetensors file
        raise NotAModelError(f"{what} is not a model: it is not a safetensors file.")
    length = int.from_bytes(data[:8], "little")
    if length > MOST_METADATA:
        raise DamagedError(
            f"{what} is damaged: its header has {counted(length, 'byte')}; at most "
            f"{count(MOST_METADATA)} are allowed."
        )
    header = data[8 : 8 + length]
    require_modest(header, f"the header of {what}")
    return header


def require_modest(text: bytes, what: str) -> None:
    """Raise DamagedError for JSON that would need too much memory when it is parsed."""
    for mark, things, most in (
        (b"{", "objects", MOST_BRACES),
        (b"[", "lists", 2 * MOST_BRACES),
        (b":", "fields", 8 * MOST_BRACES),
        (b",", "values", MOST_COMMAS),
    ):
        found = text.count(mark)
        if found > most:
            raise DamagedError(
                f"{what} is damaged: it has {found} {things}; at most {most} are allowed."
            )


def parse_model(data: bytes, what: str) -> Learner:
    """Return the learner in a model file's bytes, with the zero state."""
    about = parse_about(data, what)
    number = require_sealed_format(
        about, MODEL_FORMAT, lambda values: seal(values, parse_tensors(data, what)), what
    )
    arrays = parse_tensors(data, what)
    sealed = about.pop(SEAL, None)
    fields = {"format", "config", "vocabulary"}
    if number == MODEL_WITH_UPDATE or (number > MODEL_WITH_UPDATE and UPDATE in about):
        fields.add(UPDATE)
    if set(about) != fields or (sealed is None and number >= SEALED):
        raise DamagedError(f"{what}: its metadata has the wrong fields {', '.join(sorted(about))}.")
    if not is_count(about.get(UPDATE, 1)) or about.get(UPDATE) == 0:
        raise DamagedError(f"{what} is damaged: its update is {about[UPDATE]!r:.50}.")
    config = parse_config(about["config"], what)
    rows = arrays["V"].shape[:1] if "V" in arrays else ()
    if isinstance(about["vocabulary"], list) and rows != (len(about["vocabulary"]),):
        raise DamagedError(
            f"{what} is damaged: its vocabulary has "
            f"{counted(len(about['vocabulary']), 'entry', 'entries')}, but V has another number of rows."
        )
    vocabulary = parse_vocabulary(about["vocabulary"], config.tokens, what)
    if config.layers > len(arrays):
        raise DamagedError(
            f"{what} is damaged: {counted(len(arrays), 'array')} are too few for "
            f"{counted(config.layers, 'layer')}."
        )
    shapes = parameter_shapes(config, len(vocabulary))
    require_arrays(arrays, shapes, config, what)
    if sealed is not None and sealed != seal(about, arrays):
        raise DamagedError(f"{what} is damaged: its numbers were changed after it was written.")
    # Allocate only now: before these checks, a damaged config could ask for huge arrays.
    parameters = {name: arrays[name] for name in shapes}
    return Learner(
        config, vocabulary, parameters, zero_slots(config, parameters), zero_state(config)
    )


def parse_about(data: bytes, what: str) -> dict[str, Any]:
    """Return the unchecked charloom metadata of a model file."""
    metadata = metadata_of(data, what)
    if METADATA_KEY not in metadata:
        parse_tensors(data, what)  # raises for a damaged file, which may still be a charloom model
        raise NotAModelError(f"{what} is a safetensors file, but not a charloom model.")
    text = str(metadata[METADATA_KEY]).encode("utf-8", "surrogatepass")
    require_modest(text, f"the metadata of {what}")
    return parse_object(text, f"the metadata of {what}")


def parse_config(values: object, what: str) -> Config:
    """Return the config in untrusted metadata."""
    if not isinstance(values, dict):
        raise DamagedError(f"{what}: its config is not a JSON object.")
    try:
        return Config.from_dict({**BEFORE, **values})
    except (ConfigError, ArithmeticError, TypeError) as error:
        # str(error) and not error.message: these are fields of the file, with Python's names everywhere.
        raise DamagedError(f"{what}: its config is not valid: {error}") from None


def parse_vocabulary(points: object, tokens: str, what: str) -> Vocabulary:
    """Return the vocabulary in an untrusted list of code points or bytes."""
    limit = BYTES if tokens == "bytes" else CODE_POINTS
    if (
        not isinstance(points, list)
        or not all(type(point) is int and 0 <= point < limit for point in points)
        or not all(point < following for point, following in pairwise(points))
        or len(points) < 2
    ):
        kind = "bytes" if tokens == "bytes" else "code points"
        raise DamagedError(
            f"{what}: its vocabulary is not an ascending list of at least two {kind}."
        )
    return Vocabulary(map(chr, points), tokens)


def require_arrays(
    arrays: Arrays, shapes: Mapping[str, tuple[int, ...]], config: Config, what: str
) -> None:
    """Raise DamagedError unless the arrays have exactly the required names, shapes and dtype."""
    if set(arrays) != set(shapes):
        raise DamagedError(f"{what} is damaged: {amiss(shapes, arrays)}.")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != config.dtype:
            raise DamagedError(
                f"{what}: {name} is {array.dtype} of shape {array.shape}; "
                f"its config requires {config.dtype} of shape {shape}."
            )
        if not all_finite(array):
            raise DamagedError(f"{what}: {name} has entries that are not finite numbers.")


def all_finite(array: NDArray[Any]) -> bool:
    """Return True if every entry is finite. Checks only the minimum and maximum, which is fast."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.min(initial=0)) and np.isfinite(array.max(initial=0)))


def read_training(data: bytes, learner: Learner, what: str) -> None:
    """Copy the optimizer slots and the hidden state in a file's bytes into the learner."""
    arrays = parse_tensors(data, what)
    config = learner.config
    state_shape = (config.layers, config.batch_size, config.hidden_size)
    shapes: dict[str, tuple[int, ...]] = {f"state/{name}": state_shape for name in learner.state}
    for slot, values in learner.slots.items():
        shapes |= {f"{slot}/{name}": array.shape for name, array in values.items()}
    require_arrays(arrays, shapes, config, what)
    for slot, values in learner.slots.items():
        for name in values:
            values[name] = arrays[f"{slot}/{name}"]
            if slot in SQUARES and values[name].min() < 0:
                raise DamagedError(
                    f"{what}: {slot}/{name} holds sums of squares but has negative entries."
                )
    for name in learner.state:
        learner.state[name] = arrays[f"state/{name}"]


def read_state(data: bytes, learner: Learner, what: str) -> tuple[dict[str, int], str]:
    """Copy the counters of state.json into the learner; return the lengths and the fingerprint."""
    values = parse_object(data, what)
    number = require_format(values, STATE_FORMAT, what)
    counters, lengths = values.get("counters"), values.get("lengths")
    fingerprint = values.get("fingerprint")
    if (
        set(values) != {"format", "counters", "lengths", "fingerprint"}
        or not isinstance(counters, dict)
        or set(COUNTERS) - set(LATER_COUNTERS if number == 1 else ()) - set(counters)
        or set(counters) - set(COUNTERS)
        or not isinstance(lengths, dict)
        or not all(is_count(length) for length in lengths.values())
        or not isinstance(fingerprint, str)
        or not re.fullmatch("[0-9a-f]{64}", fingerprint)
    ):
        raise DamagedError(f"{what} is damaged: its fields are not those of a state.")
    counters = dict.fromkeys(LATER_COUNTERS, 0) | counters
    if not counters_make_sense(counters):
        raise DamagedError(f"{what} is damaged: its counters contradict each other.")
    for name, value in counters.items():
        setattr(learner, name, value)
    return lengths, fingerprint


def counters_make_sense(counters: Mapping[str, Any]) -> bool:
    """Return True if a learner can have these counters."""
    smooth, best, best_update = (
        counters[name] for name in ("smooth_loss", "best_loss", "best_update")
    )
    update = counters["update"]
    return (
        all(is_count(counters[name]) for name in WHOLE_COUNTERS)
        and all(is_number(counters[name]) for name in NUMBER_COUNTERS)
        and counters["learning_rate_factor"] > 0
        and counters["pending_updates"] <= update
        and counters["judgements_since_best"] <= update
        and (smooth is None) == (update == 0)
        and (smooth is None or is_number(smooth))
        and (best is None) == (best_update is None)
        and (best is None or (is_number(best) and is_count(best_update) and best_update <= update))
    )


def is_count(value: object) -> TypeGuard[int]:
    """Return True if a value is a whole number that a counter can have."""
    return type(value) is int and 0 <= value < COUNT_LIMIT


def is_number(value: object) -> TypeGuard[float]:
    """Return True if a value is a finite float."""
    return type(value) is float and math.isfinite(value)
