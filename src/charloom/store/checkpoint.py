"""A checkpoint: a learner as a directory of four files, which appears whole or not at all
(spec/formats.md: Checkpoints).

    model.safetensors     parameters; config and vocabulary in one metadata key: alone a model
    training.safetensors  optimizer slots and recurrent state
    state.json            counters, the lengths of the run's journals, the text's fingerprint
    MANIFEST              SHA-256, length and name of each of the others

Files may come from strangers: they are data, checked against the config before anything trusts
them, and nothing in them is ever executed. This module knows nothing of runs.
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

from charloom.config import Config
from charloom.errors import (
    ConfigError,
    DamagedError,
    DivergedError,
    NotAModelError,
)
from charloom.model import Learner, parameter_shapes, zero_slots, zero_state
from charloom.model.optimizers import SQUARES
from charloom.spelling import shortened
from charloom.store.canonical import canonical_json, parse_object
from charloom.store.files import (
    Block,
    Data,
    blocks_of,
    create_directory,
    read_file,
    reading,
    require_directory,
)
from charloom.store.formats import (
    MODEL_FORMAT,
    MODEL_WITH_UPDATE,
    SEAL,
    SEALED,
    STATE_FORMAT,
    require_format,
    require_sealed_format,
)
from charloom.store.tensors import tensor_blocks
from charloom.text import Vocabulary
from charloom.text.vocabulary import BYTES, CODE_POINTS

METADATA_KEY: Final = "charloom"
UPDATE: Final = "update"  # of a model file
FOLDER: Final = "checkpoints"  # what a directory of them is called
MODEL: Final = "model.safetensors"
TRAINING: Final = "training.safetensors"
STATE: Final = "state.json"
MANIFEST: Final = "MANIFEST"
FILES: Final = (MODEL, STATE, TRAINING)

SAFETENSORS_DTYPES: Final = {"F32": np.float32, "F64": np.float64}
COUNT_LIMIT: Final = 2**63

# What a stranger's file may make us hold beside its arrays. A list of all code points, the longest
# metadata that make sense, has 7.7 MB; each bracket costs many times its byte in memory.
MOST_METADATA: Final = 8 << 20  # bytes
MOST_BRACES: Final = 1 << 14  # a tensor has one, with two brackets and four colons
MOST_COMMAS: Final = CODE_POINTS + MOST_BRACES * 8  # a vocabulary, and what else there is
MOST_STATE: Final = 1 << 16  # bytes
MOST_MANIFEST: Final = 1 << 12  # bytes
SIZES: Final = {STATE: MOST_STATE, MANIFEST: MOST_MANIFEST}
OTHERWISE: Final = "Use another checkpoint, or a copy."

WHOLE_COUNTERS: Final = (
    "update", "epoch", "position", "pending_updates", "judgements_since_best", "rollbacks"
)  # fmt: skip
NUMBER_COUNTERS: Final = ("pending_loss", "learning_rate_factor")
OPTIONAL_COUNTERS: Final = ("smooth_loss", "best_loss", "best_update")
COUNTERS: Final = WHOLE_COUNTERS + NUMBER_COUNTERS + OPTIONAL_COUNTERS
LATER_COUNTERS: Final = ("judgements_since_best", "rollbacks")  # 0 where format 1 has none

# Settings that came later, as what was made before them meant them (spec/formats.md: Settings).
BEFORE: Final = {"judged_characters": 0}

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint directory holds.

    Attributes:
        learner: the learner as it was, to the bit.
        lengths: bytes of each of the run's journals when it was saved, by file name.
        fingerprint: of the text, as `Corpus.fingerprint`.
    """

    learner: Learner
    lengths: dict[str, int]
    fingerprint: str


def save_checkpoint(
    directory: Path, learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> None:
    """Make a checkpoint directory appear, whole and durable.

    Raises:
        DivergedError: a number in the learner is not finite; nothing was written.
        WriteError: the disk refused, or the directory is there: a checkpoint never changes.
    """
    create_directory(directory, checkpoint_files(learner, lengths, fingerprint))


def load_checkpoint(directory: Path) -> Checkpoint:
    """Read a checkpoint directory, every byte of it verified.

    Raises:
        NotAModelError: no such directory, or one that holds no checkpoint.
        NewerFormatError: a later charloom wrote it.
        ReadError: the disk refused.
        DamagedError: its bytes are not what was written, or make no sense together.
    """
    try:
        with reading(directory):
            return load_known(directory)
    except DamagedError:
        refuse_newer(directory)  # this charloom may take for damage what a later one added
        raise


def load_known(directory: Path) -> Checkpoint:
    """`load_checkpoint` of a checkpoint that no later charloom wrote."""
    files = read_verified(directory)
    learner = parse_model(files[MODEL], str(directory / MODEL))
    read_training(files[TRAINING], learner, str(directory / TRAINING))
    lengths, fingerprint = read_state(files[STATE], learner, str(directory / STATE))
    return Checkpoint(learner, lengths, fingerprint)


def refuse_newer(directory: Path) -> None:
    """Refuse a checkpoint that a later charloom wrote, whatever else it holds.

    Its state.json tells, if MANIFEST says that its bytes are those that were written.

    Raises:
        NewerFormatError: so it is.
    """
    with suppress(DamagedError):
        state = verified_state(directory)
        if state is not None:
            require_format(state, STATE_FORMAT, str(directory / STATE))


def verified_state(directory: Path) -> dict[str, Any] | None:
    """What state.json of a checkpoint says; None where MANIFEST does not say that its bytes are those that
    were written. No other file is read.

    Raises:
        DamagedError: it is no JSON object, or no plain file in a directory of the run's own.
    """
    require_no_link(directory)
    state = read_file(directory / STATE, MOST_STATE) or b""
    manifest = read_file(directory / MANIFEST, MOST_MANIFEST) or b""
    if manifest_of({STATE: state}).strip() not in manifest.splitlines():
        return None
    return parse_object(state, str(directory / STATE))


def load_model_file(path: Path) -> Learner:
    """The learner of a single model file: update 0, and the state before the first character.

    Raises:
        NotAModelError: the file cannot be read or is no model of charloom's.
        NewerFormatError: a later charloom wrote it.
        DamagedError: it is one, and damaged.
    """
    return parse_model(read_model_file(path), str(path))


def update_of_file(path: Path) -> int | None:
    """How many updates made the model of a single file; None where it does not tell.

    Raises:
        The same as `load_model_file`.
    """
    update = parse_about(read_model_file(path, 8 + MOST_METADATA), str(path)).get(UPDATE)
    return update if is_count(update) else None


def read_model_file(path: Path, most: int = -1) -> bytes:
    """The bytes of a file that a user named, or so many of them at most.

    Raises:
        NotAModelError: it is not there, or is a pipe or a device, which may never end.
        ReadError: the disk refused.
    """
    with reading(path):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise NotAModelError(f"{shortened(path)} is no model: it is no plain file.")
            with path.open("rb") as file:
                return file.read(most)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a NUL in the path
            reason = getattr(error, "strerror", None) or error
            raise NotAModelError(f"{shortened(path)} cannot be read: {reason}.") from None


# Writing


def checkpoint_files(
    learner: Learner, lengths: Mapping[str, int], fingerprint: str
) -> dict[str, Data]:
    """The four files of a checkpoint, by name, each in blocks of which the large ones are the learner's
    own memory."""
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
    """The bytes of `model_blocks`, in one piece."""
    return b"".join(model_blocks(learner, update))


def model_blocks(learner: Learner, update: int | None = None) -> list[Block]:
    """A whole model in one file: the parameters, and config and vocabulary as metadata.

    Its blocks are to be written one after another, before the learner changes.

    Args:
        update: how many updates made the parameters; None or 0 where that is not to be told, as in a
            checkpoint, which tells it beside.
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
    """The SHA-256 of a model: of what is said about it, then of each array's name and bytes."""
    digest = hashlib.sha256(canonical_json(dict(about)))
    for name, array in sorted(arrays.items()):
        digest.update(b"\n" + name.encode() + b"\n")
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def manifest_of(files: Mapping[str, Data]) -> bytes:
    """A line for each file, sorted by name: SHA-256, length in bytes, name."""
    lines = []
    for name, data in sorted(files.items()):
        digest, length = hashlib.sha256(), 0
        for block in blocks_of(data):
            digest.update(block)
            length += len(block)
        lines.append(f"{digest.hexdigest()} {length} {name}\n")
    return "".join(lines).encode("ascii")


def require_finite(learner: Learner) -> None:
    """Refuse to keep a learner that cannot be used any more."""
    arrays = {**learner.parameters, **learner.state}
    for slot, values in learner.slots.items():
        arrays |= {f"{slot}/{name}": array for name, array in values.items()}
    numbers = {name: getattr(learner, name) for name in COUNTERS}
    wrong = [name for name, array in arrays.items() if not all_finite(array)]
    wrong += [name for name, x in numbers.items() if x is not None and not math.isfinite(x)]
    if wrong:
        raise DivergedError(
            f"at update {learner.update:,} {', '.join(wrong)} is no longer finite, so it was not saved."
        )


# Reading


def read_verified(directory: Path) -> dict[str, bytes]:
    """The files of a checkpoint by name, verified against its MANIFEST."""
    require_no_link(directory)
    if not directory.exists():
        raise NotAModelError(f"checkpoint {directory} is missing.")
    if not (directory / MANIFEST).exists() and not (directory / MODEL).exists():
        raise NotAModelError(f"{directory} is no checkpoint: it has no {MANIFEST}.")
    wanted = sorted((*FILES, MANIFEST))
    try:
        found = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:  # its writer removed it a moment ago
        raise NotAModelError(f"checkpoint {directory} is missing.") from None
    if found != wanted:
        raise DamagedError(
            f"checkpoint {directory} is damaged: {amiss(wanted, found)}. {OTHERWISE}"
        )
    files = {}
    for name in wanted:
        data = read_file(directory / name, SIZES.get(name))
        if data is None:
            raise DamagedError(f"checkpoint {directory} is damaged: missing {name}. {OTHERWISE}")
        files[name] = data
    manifest = files.pop(MANIFEST)
    if manifest_of(files) != manifest:
        told = manifest.splitlines()
        wrong = [name for name in FILES if manifest_of({name: files[name]}).strip() not in told]
        raise DamagedError(
            f"checkpoint {directory} is damaged: {', '.join(wrong) or 'the order of lines'} "
            f"and {MANIFEST} disagree. {OTHERWISE}"
        )
    return files


def require_no_link(directory: Path) -> None:
    """Refuse a link in the place of a checkpoint, or of a run's directory of them."""
    if directory.parent.name == FOLDER:
        require_directory(directory.parent)
    require_directory(directory)


def amiss(wanted: Iterable[str], found: Iterable[str]) -> str:
    """Which names are missing, and which are there and should not be."""
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    told = []
    if missing:
        told.append(f"missing {', '.join(missing)}")
    if extra:
        told.append(f"unexpected {', '.join(map(repr, extra))}")
    return "; ".join(told)


def metadata_of(data: bytes, what: str) -> dict[str, Any]:
    """The metadata of a safetensors file, whatever its tensors are."""
    header = parse_object(header_of(data, what), f"the header of {what}")
    metadata = header.get("__metadata__") or {}
    if not isinstance(metadata, dict):
        raise DamagedError(f"{what} is damaged: its metadata is not a JSON object.")
    return metadata


def parse_tensors(data: bytes, what: str) -> Arrays:
    """The arrays of a safetensors file.

    Beside the file's bytes no more memory is taken than they are: the library gives each tensor as
    bytes of its own, and these become the arrays.
    """
    header_of(data, what)
    try:
        tensors = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        raise DamagedError(
            f"{what} is damaged: its header and what follows do not go together; its end may be lost. "
            f"Use a copy of it."
        ) from None
    arrays: Arrays = {}
    for name, tensor in tensors:
        if tensor["dtype"] not in SAFETENSORS_DTYPES:
            raise DamagedError(
                f"{what}: {shortened(name)} has the type {shortened(tensor['dtype'])}; no model has it."
            )
        dtype = np.dtype(SAFETENSORS_DTYPES[tensor["dtype"]]).newbyteorder("<")
        values = np.frombuffer(tensor["data"], dtype).astype(dtype.newbyteorder("="), copy=False)
        if not values.flags.writeable:  # an older library may give what cannot be changed
            values = values.copy()
        try:
            arrays[name] = values.reshape(tensor["shape"])
        except (ValueError, OverflowError):  # empty, and yet of an absurd shape
            raise DamagedError(
                f"{what}: {shortened(name)} has the shape {shortened(tensor['shape'])}."
            ) from None
    return arrays


def header_of(data: bytes, what: str) -> bytes:
    """The header of a safetensors file, not verified but modest."""
    if data[8:9] != b"{":  # where the header of every safetensors file begins
        raise NotAModelError(f"{what} is no model: it is no safetensors file.")
    length = int.from_bytes(data[:8], "little")
    if length > MOST_METADATA:
        raise DamagedError(
            f"{what} is damaged: its header has {length} bytes, and at most {MOST_METADATA} make sense."
        )
    header = data[8 : 8 + length]
    require_modest(header, f"the header of {what}")
    return header


def require_modest(text: bytes, what: str) -> None:
    """Refuse JSON that would take many times its size in memory."""
    for mark, things, most in (
        (b"{", "objects", MOST_BRACES),
        (b"[", "lists", 2 * MOST_BRACES),
        (b":", "fields", 8 * MOST_BRACES),
        (b",", "values", MOST_COMMAS),
    ):
        found = text.count(mark)
        if found > most:
            raise DamagedError(
                f"{what} is damaged: it has {found} {things}; at most {most} make sense."
            )


def parse_model(data: bytes, what: str) -> Learner:
    """The learner of a model file's bytes, with the state of one stream before any character."""
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
        raise DamagedError(f"{what}: its metadata has the fields {', '.join(sorted(about))}.")
    if not is_count(about.get(UPDATE, 1)) or about.get(UPDATE) == 0:
        raise DamagedError(f"{what} is damaged: its update is {about[UPDATE]!r:.50}.")
    config = parse_config(about["config"], what)
    rows = arrays["V"].shape[:1] if "V" in arrays else ()
    if isinstance(about["vocabulary"], list) and rows != (len(about["vocabulary"]),):
        raise DamagedError(
            f"{what} is damaged: its vocabulary has {len(about['vocabulary'])} entries, and V has not."
        )
    vocabulary = parse_vocabulary(about["vocabulary"], config.tokens, what)
    if config.layers > len(arrays):
        raise DamagedError(
            f"{what} is damaged: {len(arrays)} arrays are too few for {config.layers} layers."
        )
    shapes = parameter_shapes(config, len(vocabulary))
    require_arrays(arrays, shapes, config, what)
    if sealed is not None and sealed != seal(about, arrays):
        raise DamagedError(f"{what} is damaged: its numbers are not those that were written.")
    # Only now is the config's size known to be true: no array is made from it before.
    parameters = {name: arrays[name] for name in shapes}
    return Learner(
        config, vocabulary, parameters, zero_slots(config, parameters), zero_state(config)
    )


def parse_about(data: bytes, what: str) -> dict[str, Any]:
    """What a model file says of itself, not looked at yet."""
    metadata = metadata_of(data, what)
    if METADATA_KEY not in metadata:
        parse_tensors(data, what)  # what is damaged is no other program's file
        raise NotAModelError(f"{what} is a safetensors file, and no model of charloom's.")
    text = str(metadata[METADATA_KEY]).encode("utf-8", "surrogatepass")
    require_modest(text, f"the metadata of {what}")
    return parse_object(text, f"the metadata of {what}")


def parse_config(values: object, what: str) -> Config:
    """A config from a stranger's metadata."""
    if not isinstance(values, dict):
        raise DamagedError(f"{what}: its config is not a JSON object.")
    try:
        return Config.from_dict({**BEFORE, **values})
    except (ConfigError, ArithmeticError, TypeError) as error:
        # Not the marked message: on every face these are the fields of the file.
        raise DamagedError(f"{what}: its config cannot be: {error}") from None


def parse_vocabulary(points: object, tokens: str, what: str) -> Vocabulary:
    """A vocabulary from a stranger's list of code points, or of bytes."""
    limit = BYTES if tokens == "bytes" else CODE_POINTS
    if (
        not isinstance(points, list)
        or not all(type(point) is int and 0 <= point < limit for point in points)
        or not all(point < following for point, following in pairwise(points))
        or len(points) < 2
    ):
        kind = "bytes" if tokens == "bytes" else "code points"
        raise DamagedError(f"{what}: its vocabulary is not a rising list of at least two {kind}.")
    return Vocabulary(map(chr, points), tokens)


def require_arrays(
    arrays: Arrays, shapes: Mapping[str, tuple[int, ...]], config: Config, what: str
) -> None:
    """Refuse arrays that are not exactly those that the config asks for."""
    if set(arrays) != set(shapes):
        raise DamagedError(f"{what} is damaged: {amiss(shapes, arrays)}.")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != config.dtype:
            raise DamagedError(
                f"{what}: {name} is {array.dtype} of shape {array.shape}; "
                f"its config asks for {config.dtype} of shape {shape}."
            )
        if not all_finite(array):
            raise DamagedError(f"{what}: {name} has entries that are not finite numbers.")


def all_finite(array: NDArray[Any]) -> bool:
    """Whether every entry is a finite number: the least and the greatest are, and neither is NaN."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(array.min(initial=0)) and np.isfinite(array.max(initial=0)))


def read_training(data: bytes, learner: Learner, what: str) -> None:
    """Put slots and recurrent state from a file's bytes into a learner."""
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
                raise DamagedError(f"{what}: {slot}/{name}, made of squares, has negative entries.")
    for name in learner.state:
        learner.state[name] = arrays[f"state/{name}"]


def read_state(data: bytes, learner: Learner, what: str) -> tuple[dict[str, int], str]:
    """Put the counters of state.json into a learner; return the lengths and the fingerprint."""
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
    """Whether a learner can have these counters."""
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
    """Whether a value is a whole number that a counter can have."""
    return type(value) is int and 0 <= value < COUNT_LIMIT


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return type(value) is float and math.isfinite(value)
