"""Models to and from PyTorch: a state_dict in a safetensors file, with the names of nn.RNN, nn.LSTM,
nn.GRU and nn.Linear (spec/formats.md: PyTorch files).

Files are data, read without PyTorch and checked before anything trusts them. It knows nothing of
training: what arrives is a model at update 0.
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

from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError, TextError
from charloom.messages import Placeholder, argument
from charloom.model import Learner, parameter_shapes, zero_slots, zero_state
from charloom.model.parameters import GATES, Parameters
from charloom.recipes import DEFAULT_RECIPE, recipe_of
from charloom.spelling import shortened
from charloom.store.canonical import canonical_json, parse_object
from charloom.store.checkpoint import (
    MOST_METADATA,
    SAFETENSORS_DTYPES,
    metadata_of,
    parse_config,
    parse_vocabulary,
    read_model_file,
    require_arrays,
    require_finite,
)
from charloom.store.files import reading
from charloom.store.formats import TORCH_FORMAT, require_format
from charloom.store.tensors import tensor_blocks
from charloom.text import Corpus, Vocabulary
from charloom.text.vocabulary import BYTES

Array = NDArray[Any]

METADATA_KEY: Final = "charloom.torch"
CLASSES: Final = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
PICKLES: Final = (b"PK", b"\x80")  # how the files of torch.save begin, new and old
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
    """A model's parameters by PyTorch's names; arrays in the model's dtype.

    Input is one-hot, batch_first False. `rnn.weight_ih_l0` (G·H, K), above layer 0 (G·H, H);
    `rnn.weight_hh_l0` (G·H, H); `rnn.bias_ih_l0`, `rnn.bias_hh_l0` (G·H); `head.weight` (K, H),
    `head.bias` (K). bias_hh is zero, but for the GRU's candidate, whose d it holds.
    """
    H, ours = learner.config.hidden_size, learner.parameters
    state_dict: Parameters = {}
    for layer in range(learner.config.layers):
        b = ours[f"layers.{layer}.b"]
        bias_hh = np.zeros_like(b)
        if learner.config.cell == "gru":
            bias_hh[2 * H :] = ours[f"layers.{layer}.d"]
        state_dict |= {
            f"rnn.weight_ih_l{layer}": ours[f"layers.{layer}.U"],
            f"rnn.weight_hh_l{layer}": ours[f"layers.{layer}.W"],
            f"rnn.bias_ih_l{layer}": b,
            f"rnn.bias_hh_l{layer}": bias_hh,
        }
    return {**state_dict, "head.weight": ours["V"], "head.bias": ours["c"]}


def torch_bytes(learner: Learner, file: str) -> bytes:
    """A whole model as a PyTorch file; `file` is the name that its own loading lines give.

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
    """The Python that loads a PyTorch file: it defines `model`, `characters` and `about`."""
    config = learner.config
    return LOADING.format(
        file=file,
        key=METADATA_KEY,
        cls=CLASSES[config.cell],
        K=len(learner.vocabulary),
        H=config.hidden_size,
        L=config.layers,
        dtype=config.dtype,
    )


# From PyTorch


@dataclass(frozen=True)
class Prefixes:
    """Where in a state_dict the parts are, as `model.rnn`; None where the shapes shall tell."""

    recurrent: str | None = None
    head: str | None = None


def read_torch_file(
    path: Path,
    characters: list[str] | None = None,
    tokens: str | None = None,
    prefixes: Prefixes = Prefixes(),
) -> Learner:
    """The model of a PyTorch file: update 0, and the state before the first character.

    Args:
        path: a safetensors file with the state_dict of an nn.RNN (tanh), nn.LSTM or nn.GRU and an
            nn.Linear on top of it; before it, an nn.Embedding may stand instead of a one-hot input.
        characters: of id 0, 1, 2 …; None where the file itself has them, as those that charloom
            wrote do, or where they are all 256 bytes.
        tokens: what those are, characters or bytes (a byte as the character of the same number);
            None: as the file says, else characters.
        prefixes: the names of the parts, where the shapes leave a choice.

    Raises:
        NotAModelError: no such file, no safetensors, or not such a network; or a choice is left.
        NewerFormatError: a later charloom exported the file.
        DamagedError: the file contradicts itself, or holds numbers that are not finite.
        ReadError: the disk refused.
        TextError: the vocabulary is missing, repeats a character, has another size, or
            contradicts the file's own.
    """
    what = str(path)
    arrays, metadata = _read_tensors(path)
    cell, theirs = _find_network(arrays, prefixes, what)
    # Whatever its tensors do not tell counts where it is trained further.
    config = recipe_of(DEFAULT_RECIPE).config.replace(
        cell=cell,
        hidden_size=theirs["layers.0.W"].shape[1],
        layers=sum(name.endswith(".W") for name in theirs),
        dtype=str(theirs["V"].dtype),
    )
    K = len(theirs["V"])
    if METADATA_KEY in metadata:
        config, known = _read_about(metadata[METADATA_KEY], config, what)
        if characters is not None and characters != known:
            raise TextError(
                f"{what} says itself what its ids stand for. {_difference(characters, known)}"
            )
        characters = known
    config = config.replace(tokens=tokens)
    vocabulary, order = _order(characters, config.tokens, K, what)
    shapes = parameter_shapes(config, K)
    if theirs["layers.0.U"].shape == shapes["layers.0.U"]:
        theirs["layers.0.U"] = theirs["layers.0.U"][:, order]
    theirs["V"], theirs["c"] = theirs["V"][order], theirs["c"][order]
    require_arrays(theirs, shapes, config, what)
    parameters = {name: np.ascontiguousarray(theirs[name]) for name in shapes}
    slots = zero_slots(config, parameters)
    return Learner(config, vocabulary, parameters, slots, zero_state(config))


def read_characters(source: str, tokens: str | None = None) -> list[str]:
    """The characters of id 0, 1, 2 … that a file or a built-in text gives.

    A `.json` file is a list of characters in the order of their ids, or an object from character to
    id. Anything else is a text: its distinct characters (or bytes) in rising order, as
    `sorted(set(text))` has them.

    Raises:
        TextError: the file cannot be read or gives no such list.
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
        raise TextError(f"{source} holds no characters; {WANTED}.")
    return found


WANTED: Final = (
    "wanted a list of single characters in the order of their ids, or an object from each "
    "character to its id (0, 1, 2 …)"
)


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a stranger's file, all of one dtype, and its metadata."""
    beginning = read_model_file(path, 9 + MOST_METADATA)
    # After eight bytes of length the header of every safetensors file begins, of no pickle.
    if beginning[8:9] != b"{" and beginning.startswith(PICKLES):
        raise NotAModelError(
            f"{path} is a pickle, which could run anything when it is read. In PyTorch, write "
            f"the weights with safetensors.torch.save_file(model.state_dict(), "
            f"'model.safetensors')."
        )
    metadata = metadata_of(beginning, str(path))
    if METADATA_KEY in metadata:
        _parse_about(metadata[METADATA_KEY], str(path))  # before tensors that a later one may add
    del beginning, metadata
    try:
        with reading(path), safe_open(path, "np") as tensors:
            types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
            if len(types) != 1 or not types <= set(SAFETENSORS_DTYPES):
                raise NotAModelError(
                    f"{path} has tensors of the types {', '.join(sorted(types)) or 'none at all'}; "
                    f"wanted all F32 or all F64. In PyTorch, convert the model by model.float()."
                )
            arrays = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
            return arrays, tensors.metadata() or {}
    except (SafetensorError, ValueError, OverflowError) as error:
        raise DamagedError(f"{path} is damaged ({error}).") from None


def _find_network(
    arrays: dict[str, Array], prefixes: Prefixes, what: str
) -> tuple[str, Parameters]:
    """The cell, and the parameters by our names with ids in the file's order; U of layer 0 may
    still be taken apart into a weight and an embedding, which are multiplied here."""
    for part, meaning in UNSUPPORTED.items():
        if any(part in name for name in arrays):
            raise NotAModelError(f"{what}: its network {meaning}; charloom's do not.")
    rnn = _recurrent_prefix(arrays, prefixes.recurrent, what)
    rest = dict(arrays)
    cell, parameters = _take_layers(rest, rnn, what)
    H = parameters["layers.0.W"].shape[1]
    head = _head_prefix(rest, prefixes.head, H, what)
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
            f"{what}: {_listed(rest)}: no part of a network that is only nn.RNN, nn.LSTM or nn.GRU "
            f"with nn.Linear on top and, if any, nn.Embedding before it."
        )
    if U.shape[1] != len(V):
        raise NotAModelError(
            f"{what}: layer 0 reads {U.shape[1]} inputs and the output has {len(V)} characters; "
            f"wanted as many, one-hot, or an nn.Embedding of shape ({len(V)}, {U.shape[1]})."
        )
    return cell, {**parameters, "layers.0.U": U, "V": V, "c": c}


def _recurrent_prefix(arrays: dict[str, Array], given: str | None, what: str) -> str:
    """What stands before `weight_hh_l0`."""
    matches = [RECURRENT.fullmatch(name) for name in arrays]
    found = [match["prefix"] for match in matches if match]
    return _choose(
        found, given, "recurrent", "no weight_hh_l0, as nn.RNN, nn.LSTM and nn.GRU name it", what
    )


def _take_layers(rest: dict[str, Array], prefix: str, what: str) -> tuple[str, Parameters]:
    """Cell and layers under a prefix, taken out of `rest`, each of the shape it must have."""
    W = rest[f"{prefix}weight_hh_l0"]
    H = W.shape[1] if W.ndim == 2 else 0
    cells = {gates: cell for cell, gates in GATES.items()}
    cell = cells.get(len(W) // H if H and len(W) % H == 0 else 0)
    if cell is None:
        raise NotAModelError(
            f"{what}: {prefix}weight_hh_l0 has shape {W.shape}; wanted (H, H) of nn.RNN, (4H, H) "
            f"of nn.LSTM or (3H, H) of nn.GRU."
        )
    rows = GATES[cell] * H
    parameters: Parameters = {}
    layer = 0
    while f"{prefix}weight_hh_l{layer}" in rest:
        name = f"{prefix}weight_ih_l{layer}"
        inputs = H if layer else _columns(rest.get(name))
        U = _take(rest, name, (rows, inputs), what)
        W = _take(rest, f"{prefix}weight_hh_l{layer}", (rows, H), what)
        b_ih, b_hh = (
            _take(rest, f"{prefix}bias_{kind}_l{layer}", (rows,), what, zeros=W.dtype)
            for kind in ("ih", "hh")
        )
        # PyTorch trains two biases where one is enough; the GRU's candidate needs both.
        both = rows - H if cell == "gru" else rows
        b = b_ih.copy()
        b[:both] = b_ih[:both].astype(np.float64) + b_hh[:both]
        parameters |= {f"layers.{layer}.U": U, f"layers.{layer}.W": W, f"layers.{layer}.b": b}
        if cell == "gru":
            parameters[f"layers.{layer}.d"] = b_hh[both:]
        layer += 1
    return cell, parameters


def _columns(array: Array | None) -> int:
    return array.shape[1] if array is not None and array.ndim == 2 else 0


def _take(
    rest: dict[str, Array], name: str, shape: tuple[int, ...], what: str, zeros: Any = None
) -> Array:
    """An array taken out of `rest`; where it is missing and `zeros` is a dtype, zeros (bias=False)."""
    if name not in rest and zeros is not None:
        return np.zeros(shape, zeros)
    if name not in rest:
        raise NotAModelError(f"{what}: {name} is missing; wanted it with shape {shape}.")
    array = rest.pop(name)
    if array.shape != shape:
        raise NotAModelError(f"{what}: {name} has shape {array.shape}; wanted {shape}.")
    return array


def _head_prefix(rest: dict[str, Array], given: str | None, H: int, what: str) -> str:
    """What stands before the `weight` and `bias` of the nn.Linear that makes the logits."""
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
        found = with_bias  # an nn.Embedding of the same width has none
    return _choose(found, given, "head", f"no nn.Linear with {H} inputs on top of the layers", what)


def _choose(found: list[str], given: str | None, name: str, none: str, what: str) -> str:
    """The one prefix that is meant."""
    if given is not None:
        wanted = f"{given}." if given and not given.endswith(".") else given
        if wanted in found:
            return wanted
        raise NotAModelError(
            f"{what}: {argument(name)} {shortened(given)} does not fit; "
            f"{'it can be ' + _listed(found) if found else 'it has ' + none}."
        )
    if not found:
        raise NotAModelError(f"{what}: it has {none}.")
    if len(found) > 1:
        raise NotAModelError(
            f"{what}: several parts could be meant: {_listed(found)}. Name one: "
            f"{argument(name, Placeholder('NAME'))}."
        )
    return found[0]


def _listed(names: Any) -> str:
    """Names from a stranger's file, a few of them."""
    shown = [shortened(name.removesuffix(".")) for name in sorted(names)]
    return ", ".join(shown[:4]) + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")


def _read_about(about: object, found: Config, what: str) -> tuple[Config, list[str]]:
    """Settings and characters from charloom's own metadata, which must not contradict the tensors."""
    values = _parse_about(about, what)
    if not {"config", "vocabulary"} <= set(values):
        raise DamagedError(f"{what}: its metadata has the fields {', '.join(sorted(values))}.")
    config = parse_config(values["config"], what)
    for name in ("cell", "hidden_size", "layers"):
        if getattr(config, name) != getattr(found, name):
            raise DamagedError(
                f"{what}: its metadata says {name} {getattr(config, name)!r}, its tensors "
                f"{getattr(found, name)!r}."
            )
    vocabulary = parse_vocabulary(values["vocabulary"], config.tokens, what)
    return config.replace(dtype=found.dtype), list(vocabulary.characters)


def _parse_about(about: object, what: str) -> dict[str, Any]:
    """What charloom's own metadata say, of a format that this charloom reads."""
    values = parse_object(about, f"the metadata of {what}")  # type: ignore[arg-type]
    require_format(values, TORCH_FORMAT, what)
    return values


def _difference(given: list[str], known: list[str]) -> str:
    """Where a vocabulary that was given parts from the one that a file has, and what to do."""
    pairs = zip_longest(given, known)
    where, (one, other) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    return (
        f"Id {where} is {shortened(other)} there and {shortened(one)} in the vocabulary given. Leave out "
    ).replace("None", "none") + f"{argument('vocabulary')}."


def _order(
    characters: list[str] | None, tokens: str, K: int, what: str
) -> tuple[Vocabulary, list[int]]:
    """The vocabulary, and for each of its ids the id in the file."""
    if characters is None and tokens == "bytes" and K == BYTES:
        characters = list(map(chr, range(BYTES)))
    if characters is None:
        raise TextError(
            f"{what} does not say which {tokens} its {K} ids stand for; give the text that it "
            f"was trained on as {argument('vocabulary')}, or a .json file with the characters in order."
        )
    if len(characters) != K or len(set(characters)) != K:
        raise TextError(
            f"{what} has {K} ids; the vocabulary given has {len(set(characters))} distinct "
            f"{tokens}. Give the text that the model was trained on."
        )
    order = sorted(range(K), key=characters.__getitem__)
    return Vocabulary(characters, tokens), order
