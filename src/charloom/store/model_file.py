"""Writes and reads a model file: parameters, n-grams, pairs and start, with config and vocabulary as metadata.

A checkpoint contains a model file, and a model file can also be used without a checkpoint (spec/formats.md:
Model files). Files may be untrusted: their contents are checked against the config before they are used,
and never executed.
"""

import hashlib
import stat
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from charloom.canonical_form import SEAL, canonical_json
from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, NotAModelError
from charloom.formatting import counted, shortened
from charloom.model import (
    Learner,
    State,
    averaged,
    parameter_shapes,
    state_arrays,
    stored_state,
    zero_slots,
    zero_state,
)
from charloom.model.input_pairs import pair_rows
from charloom.registered_cells import require_registered
from charloom.store.atomic_files import Block, reading
from charloom.store.format_versions import (
    MODEL_FORMAT,
    MODEL_WITH_HELD,
    MODEL_WITH_START,
    MODEL_WITH_UPDATE,
    require_fields,
    require_sealed_format,
)
from charloom.store.held_units import HELD, held_fields, parse_held
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_METADATA, require_modest
from charloom.store.json_numbers import is_count
from charloom.store.model_start import START_NATS, losses_of, start_fields
from charloom.store.ngram_tensors import (
    ngram_layout,
    parse_ngrams,
    require_recent_ids,
    tensors_of_ngrams,
)
from charloom.store.pair_tensors import pair_layout, parse_pairs, tensors_of_pairs
from charloom.store.tensor_file import tensor_blocks
from charloom.store.tensor_reader import Arrays, metadata_of, parse_tensors, require_arrays
from charloom.text import Vocabulary
from charloom.text.vocabulary import BYTES, CODE_POINTS

METADATA_KEY: Final = "charloom"
UPDATE: Final = "update"  # field in the metadata of a model file
STATE_PREFIX: Final = (
    "start/"  # of the names of tensors with the state in which the model begins to write
)

# Settings that files of earlier versions do not have, with their values (spec/formats.md: Settings).
EARLIER_DEFAULTS: Final = {"judged_characters": 0}


def model_bytes(learner: Learner, update: int | None = None) -> bytes:
    """Return the bytes of a model file. The arguments are those of `model_blocks`."""
    return b"".join(model_blocks(learner, update))


def model_blocks(learner: Learner, update: int | None = None) -> list[Block]:
    """Return the consecutive blocks of bytes that make a model file.

    The file holds the parameters of the learner's model (see `averaged`), the n-grams, the pairs of characters,
    and the state of the first stream if it is not that before the first character, with config and vocabulary as
    metadata. The blocks share the learner's memory, so write them before the learner changes.

    Args:
        learner: the model.
        update: number of updates to store in the file. With None or 0, no number is stored. The model file
            in a checkpoint has no number, because state.json has it.
    """
    about: dict[str, Any] = {
        "format": MODEL_FORMAT,
        "config": learner.config.to_dict(),
        "vocabulary": [ord(character) for character in learner.vocabulary.characters],
    }
    if update:
        about[UPDATE] = update
    if learner.start_losses is not None:
        about[START_NATS] = start_fields(learner.start_losses)
    about |= held_fields(averaged(learner))
    counts = tensors_of_ngrams(learner.ngrams) if learner.ngrams else {}
    counts |= tensors_of_pairs(learner.pairs) if learner.pairs else {}
    arrays = {**averaged(learner).parameters, **state_tensors(learner), **counts}
    about[SEAL] = model_seal(about, arrays)
    # Use one metadata key, because the safetensors library writes several keys in random order.
    metadata = {METADATA_KEY: canonical_json(about).decode("ascii")}
    return tensor_blocks(arrays, metadata)


def state_tensors(learner: Learner) -> State:
    """Return the state in which the model begins to write, by the names of its tensors; {} for the zero state."""
    state = stored_state(learner) or {}
    return {f"{STATE_PREFIX}{name}": array for name, array in state.items()}


def model_seal(about: Mapping[str, Any], arrays: Arrays) -> str:
    """Return the checksum of a model: the SHA-256 of its metadata and of each array's name and bytes.

    Args:
        about: the metadata without the checksum.
        arrays: the tensors by name.
    """
    digest = hashlib.sha256(canonical_json(dict(about)))
    for name, array in sorted(arrays.items()):
        digest.update(b"\n" + name.encode() + b"\n")
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def load_model_file(path: Path) -> Learner:
    """Return the learner in a model file, at update 0 and with the state in the file, or else with zeros.

    Raises:
        NotAModelError: the file does not exist or is not a charloom model.
        NewerFormatError: a later version of charloom wrote the file.
        ReadError: the disk failed while reading.
        DamagedError: the file is damaged.
    """
    return parse_model(read_model_file(path), str(path))


def update_of_file(path: Path) -> int | None:
    """Return the number of updates stored in a model file; None if the file stores no number.

    Raises the errors of `load_model_file`.
    """
    update = parse_about(read_model_file(path, 8 + MOST_METADATA), str(path)).get(UPDATE)
    return update if is_count(update) else None


def read_model_file(path: Path, most: int = -1) -> bytes:
    """Return the first `most` bytes of a file that a user named; -1 returns all bytes.

    Raises:
        NotAModelError: the path does not exist or is not a plain file. A pipe and a device are refused
            because reading them may never end.
        ReadError: the disk failed while reading.
    """
    with reading(path):
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise NotAModelError(f"{shortened(path)} is not a model: it is not a plain file.")
            with path.open("rb") as file:
                return file.read(most)
        # If the path contains a NUL byte, `path.stat` raises ValueError.
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise NotAModelError(f"{shortened(path)} cannot be read: {reason}.") from None


def parse_model(data: bytes, label: str) -> Learner:
    """Return the learner in `data`, the bytes of a model file, in the state of one stream.

    The state is that in the file, or else zero. `label` is the name of the file in messages. The errors are those of `load_model_file`.
    """
    about = parse_about(data, label)
    number = require_sealed_format(
        about, MODEL_FORMAT, lambda values: model_seal(values, parse_tensors(data, label)), label
    )
    arrays = parse_tensors(data, label)
    sealed = about.pop(SEAL, None)
    fields = {"format", "config", "vocabulary"}
    if number == MODEL_WITH_UPDATE or (number > MODEL_WITH_UPDATE and UPDATE in about):
        fields.add(UPDATE)
    if number >= MODEL_WITH_START and START_NATS in about:
        fields.add(START_NATS)
    if number >= MODEL_WITH_HELD and HELD in about:
        fields.add(HELD)
    require_fields(about, sealed, fields, number, f"{label} is damaged: its metadata")
    if not is_count(about.get(UPDATE, 1)) or about.get(UPDATE) == 0:
        raise DamagedError(
            f"{label} is damaged: its update is {about[UPDATE]!r:.50}; it must be a whole number from 1."
        )
    losses = losses_of(about[START_NATS], label) if START_NATS in about else None
    config = parse_config(about["config"], label)
    rows = arrays["V"].shape[:1] if "V" in arrays else ()
    listed = about["vocabulary"]
    if isinstance(listed, list) and rows != (len(listed) + config.has_items,):
        raise DamagedError(
            f"{label} is damaged: its vocabulary has "
            f"{counted(len(listed), 'entry', 'entries')}, but V has another number of rows."
        )
    vocabulary = parse_vocabulary(about["vocabulary"], config, label)
    if config.layers > len(arrays):
        raise DamagedError(
            f"{label} is damaged: {counted(len(arrays), 'array')} are too few for "
            f"{counted(config.layers, 'layer')}."
        )
    shapes = parameter_shapes(config, len(vocabulary))
    start = {f"{STATE_PREFIX}{name}": kind for name, kind in state_arrays(config, 1).items()}
    has_start = number >= MODEL_WITH_START and any(name in arrays for name in start)
    layout = ngram_layout(arrays, len(vocabulary)) if config.ngram_order else {}
    layout |= pair_layout(pair_rows(config, len(vocabulary))) if config.input_pairs else {}
    layout |= start if has_start else {}
    require_arrays(
        arrays,
        {**shapes, **{name: shape for name, (shape, _) in layout.items()}},
        config,
        label,
        {name: dtype for name, (_, dtype) in layout.items()},
    )
    if sealed is not None and sealed != model_seal(about, arrays):
        raise DamagedError(f"{label} is damaged: its numbers were changed after it was written.")
    # Allocate memory only after these checks: a damaged config could ask for huge arrays.
    parameters = {name: arrays[name] for name in shapes}
    state, K = zero_state(config), len(vocabulary)
    if has_start:
        state = {name: arrays[f"{STATE_PREFIX}{name}"] for name in state}
        require_recent_ids(state, K, label)
    ngrams = parse_ngrams(arrays, config.ngram_order, K, label) if config.ngram_order else None
    pairs = parse_pairs(arrays, K, label) if config.input_pairs else None
    slots = zero_slots(config, parameters)
    learner = Learner(
        config,
        vocabulary,
        parameters,
        slots,
        state,
        ngrams=ngrams,
        pairs=pairs,
        start_losses=losses,
    )
    if HELD in about:
        learner.clamps = parse_held(about[HELD], learner, label)
    return learner


def parse_about(data: bytes, label: str) -> dict[str, Any]:
    """Return charloom's metadata in the bytes of a model file. The fields are not checked.

    Raises:
        NotAModelError: the file has no metadata of charloom.
        DamagedError: the file is damaged.
    """
    metadata = metadata_of(data, label)
    if METADATA_KEY not in metadata:
        # Damage to a charloom model may hide its metadata. So raise DamagedError if the file is damaged.
        parse_tensors(data, label)
        raise NotAModelError(f"{label} is a safetensors file, but not a charloom model.")
    text = str(metadata[METADATA_KEY]).encode("utf-8", "surrogatepass")
    require_modest(text, f"the metadata of {label}")
    return parse_object(text, f"the metadata of {label}")


def parse_config(values: object, label: str) -> Config:
    """Make a config from untrusted values and return it; raise DamagedError if they are not valid.

    Raises:
        UnregisteredCellError: they name a cell that is neither built in nor registered.
    """
    if not isinstance(values, dict):
        raise DamagedError(f"{label}: its config is not a JSON object.")
    require_registered(values.get("cell"), label)
    try:
        return Config.from_dict({**EARLIER_DEFAULTS, **values})
    except (ConfigError, ArithmeticError, TypeError) as error:
        # Use str(error), which spells the settings like the fields of config.json. In error.message, the
        # settings would become options of the command line or fields of the page.
        raise DamagedError(f"{label}: its config is not valid: {error}") from None


def parse_vocabulary(points: object, config: Config, label: str) -> Vocabulary:
    """Return the vocabulary with these code points or bytes; raise DamagedError if they are not valid.

    Args:
        points: untrusted values. They must be an ascending list of at least two code points, or of bytes; for a
            collection of items, one is enough.
        config: says whether they are characters or bytes, and whether the boundary of items follows them.
        label: the name of the file in messages.
    """
    tokens, least = config.tokens, 1 if config.has_items else 2
    limit = BYTES if tokens == "bytes" else CODE_POINTS
    if (
        not isinstance(points, list)
        or not all(type(point) is int and 0 <= point < limit for point in points)
        or not all(point < following for point, following in pairwise(points))
        or len(points) < least
    ):
        kind = "bytes" if tokens == "bytes" else "code points"
        raise DamagedError(
            f"{label}: its vocabulary is not an ascending list of at least {'one' if least == 1 else 'two'} {kind}."
        )
    return Vocabulary(map(chr, points), tokens, config.has_items)
