"""Writes and reads the state of a learner that a model file does not hold (spec/formats.md: Checkpoints).

The file training.safetensors holds the optimizer slots and the hidden state. If training averages the
weights, the model file holds the averaged weights, and training.safetensors those that are trained. The file state.json holds the
learner's counters, the journals' lengths and the text's fingerprint. Files may be untrusted: their contents
are checked before they are used.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.errors import DamagedError, DivergedError
from charloom.model import Learner, averaged, state_arrays
from charloom.model.optimizers import AVERAGE, SQUARES
from charloom.store.atomic_files import Block
from charloom.store.format_versions import STATE_FORMAT, require_format
from charloom.store.json_format import parse_object
from charloom.store.json_numbers import is_count, is_number
from charloom.store.ngram_tensors import require_recent_ids
from charloom.store.tensor_file import tensor_blocks
from charloom.store.tensor_reader import all_finite, parse_tensors, require_arrays

WHOLE_COUNTERS: Final = (
    "update", "epoch", "position", "pending_updates", "judgements_since_best", "rollbacks"
)  # fmt: skip
NUMBER_COUNTERS: Final = ("pending_loss", "learning_rate_factor")
OPTIONAL_COUNTERS: Final = ("smooth_loss", "best_loss", "best_update")
COUNTERS: Final = WHOLE_COUNTERS + NUMBER_COUNTERS + OPTIONAL_COUNTERS
# The counters that state.json does not have in format 1; their value is then 0.
LATER_COUNTERS: Final = ("judgements_since_best", "rollbacks")


TRAINED: Final = "trained"  # of the names of the weights that are trained, if these are averaged


def training_blocks(learner: Learner) -> list[Block]:
    """Return the consecutive blocks of training.safetensors. They share the learner's memory."""
    arrays = {f"state/{name}": array for name, array in learner.state.items()}
    for slot, values in averaged(learner).slots.items():
        arrays |= {f"{slot}/{name}": array for name, array in values.items()}
    if AVERAGE in learner.slots:
        arrays |= {f"{TRAINED}/{name}": array for name, array in learner.parameters.items()}
    return tensor_blocks(arrays)


def state_bytes(learner: Learner, lengths: Mapping[str, int], fingerprint: str) -> bytes:
    """Return the bytes of state.json.

    Args:
        learner: the learner with the counters to store.
        lengths: the length of each journal in bytes, by file name.
        fingerprint: fingerprint of the text.
    """
    return canonical_json(
        {
            "format": STATE_FORMAT,
            "counters": {name: getattr(learner, name) for name in COUNTERS},
            "lengths": dict(lengths),
            "fingerprint": fingerprint,
        }
    )


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


def read_training(data: bytes, learner: Learner, label: str) -> None:
    """Set the learner's optimizer slots and hidden state to those in `data`.

    If training averages the weights, the learner's parameters become its averaged weights, and the weights
    in `data` its parameters.

    Args:
        data: the bytes of training.safetensors.
        learner: changed in place; a learner of a model file, whose slots are zero.
        label: the name of the file in messages.

    Raises:
        DamagedError: the file is damaged or does not fit the learner.
    """
    arrays = parse_tensors(data, label)
    config = learner.config
    layout = state_arrays(config, config.batch_size)
    shapes = {f"state/{name}": shape for name, (shape, _) in layout.items()}
    for slot, values in learner.slots.items():
        shapes |= {f"{slot}/{name}": array.shape for name, array in values.items()}
    trained = learner.parameters if config.averaging else {}
    shapes |= {f"{TRAINED}/{name}": array.shape for name, array in trained.items()}
    dtypes = {f"state/{name}": dtype for name, (_, dtype) in layout.items()}
    require_arrays(arrays, shapes, config, label, dtypes)
    for slot, values in learner.slots.items():
        for name in values:
            values[name] = arrays[f"{slot}/{name}"]
            if slot in SQUARES and values[name].min() < 0:
                raise DamagedError(
                    f"{label}: {slot}/{name} holds sums of squares but has negative entries."
                )
    if trained:
        learner.slots[AVERAGE] = trained
        learner.parameters = {name: arrays[f"{TRAINED}/{name}"] for name in trained}
    for name in learner.state:
        learner.state[name] = arrays[f"state/{name}"]
    require_recent_ids(learner.state, len(learner.vocabulary), label)


def read_state(data: bytes, learner: Learner, label: str) -> tuple[dict[str, int], str]:
    """Set the learner's counters to those in `data`, the bytes of state.json.

    Returns:
        The length of each of the run's journals in bytes, by file name, and the fingerprint of the text.

    Raises:
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the file is damaged.
    """
    values = parse_object(data, label)
    number = require_format(values, STATE_FORMAT, label)
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
        raise DamagedError(
            f"{label} is damaged: its fields or their types are not those of a training state."
        )
    counters = dict.fromkeys(LATER_COUNTERS, 0) | counters
    if not counters_make_sense(counters):
        raise DamagedError(f"{label} is damaged: its counters contradict each other.")
    for name, value in counters.items():
        setattr(learner, name, value)
    return lengths, fingerprint


def counters_make_sense(counters: Mapping[str, Any]) -> bool:
    """Return True if the counters have the right types and do not contradict each other."""
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
