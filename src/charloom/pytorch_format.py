"""Exports models to PyTorch files and imports models from them, without using PyTorch.

Such a file is a safetensors file with a state_dict, whose names are those of nn.RNN, nn.LSTM,
nn.GRU and nn.Linear (spec/formats.md: PyTorch files). Everything in a file is checked before it is
used. An imported model is at update 0.
"""

import json
import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from charloom.canonical_form import canonical_json
from charloom.cell_table import CELLS, Cell
from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError, TextError
from charloom.formatting import shortened
from charloom.messages import Placeholder, argument
from charloom.model import Learner, parameter_shapes, zero_slots, zero_state
from charloom.model.parameters import Parameters
from charloom.recipes import DEFAULT_RECIPE, recipe_of
from charloom.store.atomic_files import reading
from charloom.store.format_versions import TORCH_FORMAT, require_format
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_METADATA
from charloom.store.model_file import parse_config, parse_vocabulary, read_model_file
from charloom.store.tensor_file import tensor_blocks
from charloom.store.tensor_reader import SAFETENSORS_DTYPES, metadata_of, require_arrays
from charloom.store.training_state import require_finite
from charloom.text import Corpus, Vocabulary
from charloom.text.vocabulary import BYTES

Array = NDArray[Any]

METADATA_KEY: Final = "charloom.torch"
PICKLES: Final = (b"PK", b"\x80")  # first bytes of the files of torch.save, new and old format
RECURRENT: Final = re.compile(r"(?P<prefix>.*?)weight_hh_l0", re.DOTALL)
UNSUPPORTED: Final = {
    "_reverse": "reads both ways (bidirectional)",
    "weight_hr_l": "projects its states (proj_size)",
}

LOADING: Final = """\
import json
import torch
from safetensors import safe_open

with safe_open({file!r}, "pt") as file:
    weights = {{name: file.get_tensor(name) for name in file.keys()}}
    about = json.loads(file.metadata()[{key!r}])
characters = [chr(point) for point in about["vocabulary"]]  # of id 0, 1, 2 ...


class CharRNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.{cls}({K}, {H}, num_layers={L}, dtype=torch.{dtype})
        self.head = torch.nn.Linear({H}, {K}, dtype=torch.{dtype})

    def forward(self, ids, state=None):  # ids (T, B) -> logits (T, B, {K}), next state
        x = torch.nn.functional.one_hot(ids, {K}).to(self.head.weight.dtype)
        h, state = self.rnn(x, state)
        return self.head(h), state


model = CharRNN()
model.load_state_dict(weights)
"""


# To PyTorch


def to_state_dict(learner: Learner) -> Parameters:
    """Return a model's parameters by PyTorch's names, as arrays of the model's dtype.

    The PyTorch network reads one-hot vectors, with batch_first=False. For each layer l the result
    has `rnn.weight_ih_l{l}` of shape (G·H, K) for layer 0 and (G·H, H) for the others,
    `rnn.weight_hh_l{l}` (G·H, H), `rnn.bias_ih_l{l}` and `rnn.bias_hh_l{l}` (G·H). The output has
    `head.weight` (K, H) and `head.bias` (K). bias_hh is zero, except that a GRU has the bias d in
    the rows of its candidate n.
    """
    H, ours, cell = learner.config.hidden_size, learner.parameters, CELLS[learner.config.cell]
    state_dict: Parameters = {}
    for layer in range(learner.config.layers):
        b = ours[f"layers.{layer}.b"]
        bias_hh = np.zeros_like(b)
        if cell.second_bias:
            bias_hh[cell.rows(cell.second_bias, H)] = ours[f"layers.{layer}.d"]
        state_dict |= {
            f"rnn.weight_ih_l{layer}": ours[f"layers.{layer}.U"],
            f"rnn.weight_hh_l{layer}": ours[f"layers.{layer}.W"],
            f"rnn.bias_ih_l{layer}": b,
            f"rnn.bias_hh_l{layer}": bias_hh,
        }
    return {**state_dict, "head.weight": ours["V"], "head.bias": ours["c"]}


def torch_bytes(learner: Learner, file: str) -> bytes:
    """Return the bytes of a PyTorch file that contains the whole model.

    Args:
        learner: the model.
        file: name of the file. The file also stores Python code that loads the file by this name.

    Raises:
        DivergedError: a number in the model is not finite.
    """
    require_finite(learner)
    about = {
        "format": TORCH_FORMAT,
        "config": learner.config.to_dict(),
        "vocabulary": [ord(character) for character in learner.vocabulary.characters],
        "load": loading_lines(learner, file),
    }
    metadata = {METADATA_KEY: canonical_json(about).decode("ascii")}
    return b"".join(tensor_blocks(to_state_dict(learner), metadata))


def loading_lines(learner: Learner, file: str) -> str:
    """Return Python code that loads the file `file` in PyTorch.

    The code defines the network `model`, the list `characters` and the metadata `about`.
    """
    config = learner.config
    return LOADING.format(
        file=file,
        key=METADATA_KEY,
        cls=CELLS[config.cell].torch_class,
        K=len(learner.vocabulary),
        H=config.hidden_size,
        L=config.layers,
        dtype=config.dtype,
    )


# From PyTorch


@dataclass(frozen=True)
class Prefixes:
    """The name prefixes of the recurrent part and of the head (nn.Linear) in a state_dict.

    A prefix is, for example, `model.rnn`. If it is None, it is detected from names and shapes.
    """

    recurrent: str | None = None
    head: str | None = None


def read_torch_file(
    path: Path,
    characters: list[str] | None = None,
    tokens: str | None = None,
    prefixes: Prefixes = Prefixes(),
) -> Learner:
    """Return the model of a PyTorch file, at update 0 and with the zero state.

    Args:
        path: a safetensors file with the state_dict of an nn.RNN (tanh), nn.LSTM or nn.GRU and an
            nn.Linear after it. An nn.Embedding before it may replace the one-hot input.
        characters: the characters with the ids 0, 1, 2, …. None if the file contains the
            characters, as charloom's files do, or if the model is a byte model of all 256 bytes.
        tokens: "characters" or "bytes"; `characters` gives a byte as the character with the same
            code point. None takes the file's value, or "characters" if the file has none.
        prefixes: the names of the network's parts, for a file in which they cannot be detected.

    Raises:
        NotAModelError: the file does not exist, is not a safetensors file or has another kind of
            network; or several parts fit and `prefixes` does not select one.
        NewerFormatError: a later version of charloom exported the file.
        DamagedError: the file contradicts itself or has numbers that are not finite.
        ReadError: the disk failed while reading.
        TextError: the vocabulary is missing, repeats a character, has the wrong size or contradicts
            the vocabulary in the file.
        ConfigError: `tokens` is not one of these values, or it is "bytes" and a character is above
            U+00FF.
    """
    label = str(path)
    arrays, metadata = _read_tensors(path)
    cell, theirs = _find_network(arrays, prefixes, label)
    # The tensors do not show the other settings. These matter only if the model is trained further.
    config = recipe_of(DEFAULT_RECIPE).config.replace(
        cell=cell,
        hidden_size=theirs["layers.0.W"].shape[1],
        layers=sum(name.endswith(".W") for name in theirs),
        dtype=str(theirs["V"].dtype),
    )
    K = len(theirs["V"])
    if METADATA_KEY in metadata:
        config, known = _read_about(metadata[METADATA_KEY], config, label)
        if characters is not None and characters != known:
            raise TextError(
                f"{label} contains its own vocabulary. {_difference(characters, known)}"
            )
        characters = known
    config = config.replace(tokens=tokens)
    vocabulary, order = _order(characters, config.tokens, K, label)
    shapes = parameter_shapes(config, K)
    if theirs["layers.0.U"].shape == shapes["layers.0.U"]:
        theirs["layers.0.U"] = theirs["layers.0.U"][:, order]
    theirs["V"], theirs["c"] = theirs["V"][order], theirs["c"][order]
    require_arrays(theirs, shapes, config, label)
    parameters = {name: np.ascontiguousarray(theirs[name]) for name in shapes}
    slots = zero_slots(config, parameters)
    return Learner(config, vocabulary, parameters, slots, zero_state(config))


def read_characters(source: str, tokens: str | None = None) -> list[str]:
    """Return the characters with the ids 0, 1, 2, … from a file or a built-in text.

    A `.json` file has a list of characters in the order of their ids, or an object that maps each
    character to its id. Any other source is a text; its ids follow `sorted(set(text))`.

    Args:
        source: a path, or the name of a built-in text.
        tokens: "characters" or "bytes": how a text is read. None means characters.

    Raises:
        TextError: the source cannot be read; a text has fewer than two distinct characters; or a
            `.json` file has neither of the two forms.
        MissingPartError: the built-in text needs an extra that is not installed.
    """
    if not source.endswith(".json"):
        return list(Corpus.open([source], tokens=tokens or "characters").vocabulary.characters)
    try:
        found = json.loads(Path(source).read_bytes())
    except OSError as error:
        raise TextError(f"{source} cannot be read: {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise TextError(f"{source} is not valid JSON; {WANTED}.") from None
    if isinstance(found, dict) and sorted(map(repr, found.values())) == sorted(
        map(repr, range(len(found)))
    ):
        found = sorted(found, key=found.__getitem__)
    if not isinstance(found, list) or not all(
        isinstance(character, str) and len(character) == 1 for character in found
    ):
        raise TextError(f"{source} has no list of characters; {WANTED}.")
    return found


WANTED: Final = (
    "wanted a list of single characters in the order of their ids, or an object from each "
    "character to its id (0, 1, 2 …)"
)


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return two dicts from an untrusted file: its arrays by name, all of one dtype, and its metadata.

    Raises:
        NotAModelError: the file is not a safetensors file, or its tensors are not all F32 or all
            F64.
        DamagedError: the file contradicts itself.
    """
    beginning = read_model_file(path, 9 + MOST_METADATA)
    # In a safetensors file, a { follows the eight bytes of the length; in a pickle, something else.
    if beginning[8:9] != b"{" and beginning.startswith(PICKLES):
        raise NotAModelError(
            f"{path} is a pickle, which could run any code when it is read. In PyTorch, save "
            f"the weights with safetensors.torch.save_file(model.state_dict(), "
            f"'model.safetensors')."
        )
    metadata = metadata_of(beginning, str(path))
    if METADATA_KEY in metadata:
        _parse_about(
            metadata[METADATA_KEY], str(path)
        )  # raises for a later format, whose tensors may differ
    del beginning, metadata
    try:
        with reading(path), safe_open(path, "np") as tensors:
            types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
            if len(types) != 1 or not types <= set(SAFETENSORS_DTYPES):
                raise NotAModelError(
                    f"{path} has tensors of the types {', '.join(sorted(types)) or 'none at all'}; "
                    f"they must be all F32 or all F64. In PyTorch, convert the model with model.float()."
                )
            arrays = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
            return arrays, tensors.metadata() or {}
    except (SafetensorError, ValueError, OverflowError) as error:
        raise DamagedError(f"{path} is damaged ({error}).") from None


def _find_network(
    arrays: dict[str, Array], prefixes: Prefixes, label: str
) -> tuple[str, Parameters]:
    """Return the name of the cell, and the parameters by charloom's names.

    Rows and columns that stand for ids are in the order of the file's ids. If the file has an
    nn.Embedding, U of layer 0 is the product of weight_ih_l0 and the transposed embedding.
    """
    for part, meaning in UNSUPPORTED.items():
        if any(part in name for name in arrays):
            raise NotAModelError(
                f"{label}: its network {meaning}, which charloom does not support."
            )
    rnn = _recurrent_prefix(arrays, prefixes.recurrent, label)
    rest = dict(arrays)
    cell, parameters = _take_layers(rest, rnn, label)
    H = parameters["layers.0.W"].shape[1]
    head = _head_prefix(rest, prefixes.head, H, label)
    V = rest.pop(f"{head}weight")
    c = rest.pop(f"{head}bias", np.zeros(len(V), V.dtype))
    U = parameters["layers.0.U"]
    if len(rest) == 1:
        ((name, embedding),) = rest.items()
        if embedding.ndim == 2 and embedding.shape == (len(V), U.shape[1]):
            U = np.asarray(U.astype(np.float64) @ embedding.T, dtype=U.dtype)
            del rest[name]
    if rest:
        raise NotAModelError(
            f"{label}: {_listed(rest)} does not belong to a network of nn.RNN, nn.LSTM or nn.GRU, with "
            f"nn.Linear after it and possibly nn.Embedding before it; charloom supports no other parts."
        )
    if U.shape[1] != len(V):
        raise NotAModelError(
            f"{label}: layer 0 reads {U.shape[1]:,} inputs, but the output has {len(V):,} characters; "
            f"it needs {len(V):,} one-hot inputs, or an nn.Embedding of shape ({len(V)}, {U.shape[1]})."
        )
    return cell, {**parameters, "layers.0.U": U, "V": V, "c": c}


def _recurrent_prefix(arrays: dict[str, Array], given: str | None, label: str) -> str:
    """Return the prefix of the names of the recurrent part: the text before `weight_hh_l0`.

    `given` is the prefix that the user gave; None if it must be detected.
    """
    matches = [RECURRENT.fullmatch(name) for name in arrays]
    found = [match["prefix"] for match in matches if match]
    return _choose(
        found, given, "recurrent", "no weight_hh_l0, as nn.RNN, nn.LSTM and nn.GRU name it", label
    )


def _take_layers(rest: dict[str, Array], prefix: str, label: str) -> tuple[str, Parameters]:
    """Return the name of the cell, and the layers' parameters by charloom's names.

    Remove the arrays of the layers from `rest`. Raise NotAModelError if an array is missing or has
    a wrong shape.
    """
    name = f"{prefix}weight_hh_l0"
    cell = _cell_of(rest[name], f"{label}: {name}")
    H = rest[name].shape[1]
    parameters: Parameters = {}
    layer = 0
    while f"{prefix}weight_hh_l{layer}" in rest:
        name = f"{prefix}weight_ih_l{layer}"
        shapes = cell.shapes(H, H if layer else _columns(rest.get(name)))
        U = _take(rest, name, shapes["U"], label)
        W = _take(rest, f"{prefix}weight_hh_l{layer}", shapes["W"], label)
        b_ih, b_hh = (
            _take(rest, f"{prefix}bias_{kind}_l{layer}", shapes["b"], label, zeros=W.dtype)
            for kind in ("ih", "hh")
        )
        found = {"U": U, "W": W, **_biases(cell, b_ih, b_hh, H)}
        parameters |= {f"layers.{layer}.{name}": array for name, array in found.items()}
        layer += 1
    return cell.name, parameters


def _cell_of(weight_hh: Array, label: str) -> Cell:
    """Return the cell whose weight_hh has the shape of `weight_hh`.

    PyTorch's files do not name the cell.
    """
    for cell in CELLS.values():
        if (
            weight_hh.ndim == 2
            and weight_hh.size
            and weight_hh.shape == cell.shapes(weight_hh.shape[1], 0)["W"]
        ):
            return cell
    *others, last = (
        f"({len(cell.blocks) if cell.gates else ''}H, H) for nn.{cell.torch_class}"
        for cell in CELLS.values()
    )
    raise NotAModelError(
        f"{label} has shape {weight_hh.shape}; it must have shape {', '.join(others)} or {last}."
    )


def _biases(cell: Cell, b_ih: Array, b_hh: Array, H: int) -> Parameters:
    """Return the biases of a layer by charloom's names: b, and d for a cell with a second bias.

    b is the sum of PyTorch's two biases. Only in the rows of the gate with the second bias, b is
    `b_ih` and d is `b_hh`.
    """
    b = np.asarray(b_ih.astype(np.float64) + b_hh, dtype=b_ih.dtype)
    if not cell.second_bias:
        return {"b": b}
    rows = cell.rows(cell.second_bias, H)
    b[rows] = b_ih[rows]
    return {"b": b, "d": b_hh[rows]}


def _columns(array: Array | None) -> int:
    """Return the number of columns of a matrix; 0 if `array` is None or not a matrix."""
    return array.shape[1] if array is not None and array.ndim == 2 else 0


def _take(
    rest: dict[str, Array], name: str, shape: tuple[int, ...], label: str, zeros: Any = None
) -> Array:
    """Remove the array `name` from `rest` and return it. Its shape must be `shape`.

    If the array is missing and `zeros` is a dtype, return zeros of this dtype: a module with
    bias=False has no biases.
    """
    if name not in rest and zeros is not None:
        return np.zeros(shape, zeros)
    if name not in rest:
        raise NotAModelError(f"{label}: {name} is missing; its shape must be {shape}.")
    array = rest.pop(name)
    if array.shape != shape:
        raise NotAModelError(
            f"{label}: {name} has shape {array.shape}; it must have shape {shape}."
        )
    return array


def _head_prefix(rest: dict[str, Array], given: str | None, H: int, label: str) -> str:
    """Return the prefix of the names of the nn.Linear that computes the logits from H inputs.

    `given` is the prefix that the user gave; None if it must be detected.
    """
    found = []
    for name, array in rest.items():
        prefix = name.removesuffix("weight")
        bias = rest.get(f"{prefix}bias")
        if (
            name.endswith("weight")
            and array.ndim == 2
            and array.shape[1] == H
            and (bias is None or bias.shape == array.shape[:1])
        ):
            found.append(prefix)
    with_bias = [prefix for prefix in found if f"{prefix}bias" in rest]
    if given is None and with_bias:
        found = with_bias  # an nn.Embedding of the same width has no bias
    return _choose(
        found, given, "head", f"no nn.Linear with {H} inputs on top of the layers", label
    )


def _choose(found: list[str], given: str | None, name: str, none: str, label: str) -> str:
    """Return `given` if it is in `found`; if `given` is None, return the only prefix in `found`.

    Raise NotAModelError if `given` is not in `found`, or if `given` is None and `found` does not
    have exactly one prefix. In the message, `name` is the argument's name, and `none` says what is
    missing.
    """
    if given is not None:
        wanted = f"{given}." if given and not given.endswith(".") else given
        if wanted in found:
            return wanted
        raise NotAModelError(
            f"{label}: {argument(name)} {shortened(given)} does not fit; "
            f"{'it can be ' + _listed(found) if found else 'it has ' + none}."
        )
    if not found:
        raise NotAModelError(f"{label}: it has {none}.")
    if len(found) > 1:
        raise NotAModelError(
            f"{label}: several parts fit: {_listed(found)}. Select one with "
            f"{argument(name, Placeholder('NAME'))}."
        )
    return found[0]


def _listed(names: Any) -> str:
    """Return the first four of the names in an untrusted file, and how many more there are, as text."""
    shown = [shortened(name.removesuffix(".")) for name in sorted(names)]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _read_about(about: object, found: Config, label: str) -> tuple[Config, list[str]]:
    """Return the settings and the characters in charloom's metadata `about`.

    `found` has the settings that the tensors show. Raise DamagedError if the metadata contradict
    them.
    """
    values = _parse_about(about, label)
    if not {"config", "vocabulary"} <= set(values):
        raise DamagedError(
            f"{label}: its metadata has the fields {', '.join(sorted(values))}; it must have config and "
            f"vocabulary."
        )
    config = parse_config(values["config"], label)
    for name in ("cell", "hidden_size", "layers"):
        if getattr(config, name) != getattr(found, name):
            raise DamagedError(
                f"{label}: its metadata says {name} {getattr(config, name)!r}, its tensors "
                f"{getattr(found, name)!r}."
            )
    vocabulary = parse_vocabulary(values["vocabulary"], config.tokens, label)
    return config.replace(dtype=found.dtype), list(vocabulary.characters)


def _parse_about(about: object, label: str) -> dict[str, Any]:
    """Return the fields of charloom's metadata `about`.

    Raise NewerFormatError if a later version of charloom wrote the metadata.
    """
    values = parse_object(about, f"the metadata of {label}")  # type: ignore[arg-type]
    require_format(values, TORCH_FORMAT, label)
    return values


def _difference(given: list[str], known: list[str]) -> str:
    """Return the end of a message: the first difference of two vocabularies, and how to fix it."""
    pairs = zip_longest(given, known)
    where, (one, other) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    return (
        f"Id {where} is {shortened(other)} there and {shortened(one)} in the vocabulary given. Omit "
    ).replace("None", "none") + f"{argument('vocabulary')}."


def _order(
    characters: list[str] | None, tokens: str, K: int, label: str
) -> tuple[Vocabulary, list[int]]:
    """Return the vocabulary, and a list with the id in the file for each id of the vocabulary.

    `characters` are in the order of the file's ids; None if they are not known. `K` is the number
    of ids in the file.
    """
    if characters is None and tokens == "bytes" and K == BYTES:
        characters = list(map(chr, range(BYTES)))
    if characters is None:
        raise TextError(
            f"{label} does not contain the {tokens} of its {K:,} ids; give the text that it was trained "
            f"on as {argument('vocabulary')}, or a .json file with the characters in order."
        )
    if len(characters) != K or len(set(characters)) != K:
        raise TextError(
            f"{label} has {K:,} ids, but the given vocabulary has {len(set(characters)):,} distinct "
            f"{tokens}. Give the text that the model was trained on."
        )
    order = sorted(range(K), key=characters.__getitem__)
    return Vocabulary(characters, tokens), order
