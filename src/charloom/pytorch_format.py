"""Exports models to PyTorch files and imports models from them, without using PyTorch.

Such a file is a safetensors file with a state_dict (spec/formats.md: PyTorch files). Everything in
a file is checked before it is used. An imported model is at update 0.
"""

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from charloom.canonical_form import canonical_json
from charloom.cell_table import CELLS
from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, NotAModelError, TextError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import Learner, parameter_shapes, zero_slots, zero_state
from charloom.model.mixture_parts import refuse_ngrams
from charloom.pytorch_state_dict import DETECTED, Prefixes, find_network, to_state_dict
from charloom.recipes import DEFAULT_RECIPE, recipe_of
from charloom.registered_cells import built_in_cell
from charloom.store.atomic_files import reading
from charloom.store.format_versions import TORCH_FORMAT, require_format
from charloom.store.held_units import HELD, held_fields, parse_held
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_METADATA
from charloom.store.model_file import parse_config, parse_vocabulary, read_model_file
from charloom.store.tensor_file import FLOATS, tensor_blocks
from charloom.store.tensor_reader import metadata_of, require_arrays
from charloom.store.training_state import require_finite
from charloom.text import Corpus, Vocabulary
from charloom.text.vocabulary import BYTES

METADATA_KEY: Final = "charloom.torch"
# The first bytes of a file that torch.save wrote: in its new format, and in its old format.
PICKLES: Final = (b"PK", b"\x80")
WANTED: Final = (
    "wanted a list of single characters in the order of their ids, or an object from each "
    "character to its id (0, 1, 2 …)"
)

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


def torch_bytes(learner: Learner, file: str) -> bytes:
    """Return the bytes of a PyTorch file that contains the whole model.

    Args:
        learner: the model.
        file: name of the file. The file also stores Python code that loads the file by this name.

    Raises:
        ConfigError: the model has n-grams or pairs, which PyTorch's modules cannot express.
        DivergedError: a number in the model is not finite.
    """
    if learner.config.input_pairs:
        raise ConfigError(
            f"the model has inputs for pairs of characters, which the modules of PyTorch cannot express. Give "
            f"{argument('to', 'onnx')} to export it to ONNX, or train with {argument('input_pairs', 0)}."
        )
    built_in_cell(learner.config.cell, "a PyTorch file")
    refuse_ngrams(learner, "which the modules of PyTorch cannot express")
    require_finite(learner)
    about = {
        "format": TORCH_FORMAT,
        "config": learner.config.to_dict(),
        "vocabulary": [ord(character) for character in learner.vocabulary.characters],
        "load": loading_lines(learner, file),
        **held_fields(learner),
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


def read_torch_file(
    path: Path,
    characters: list[str] | None = None,
    tokens: str | None = None,
    prefixes: Prefixes = DETECTED,
) -> Learner:
    """Return the model of a PyTorch file, at update 0 and with the zero state.

    Args:
        path: a safetensors file with the state_dict of an nn.RNN (tanh), nn.LSTM or nn.GRU and an
            nn.Linear after it. An nn.Embedding before it may replace the one-hot input.
        characters: the characters with the ids 0, 1, 2, …. None if the file contains the
            characters, as charloom's files do, or if the model is a byte model of all 256 bytes.
        tokens: "characters" or "bytes": what the ids stand for. For "bytes", `characters` has,
            for each byte, the character whose code point is the byte. None takes the file's value, or
            "characters" if the file has none.
        prefixes: the prefixes of the names of the recurrent layers and of the output layer, for a
            file in which they cannot be detected.

    Raises:
        NotAModelError: the file does not exist, is not a safetensors file or does not have a
            network of the kinds above; or a prefix in `prefixes` does not fit, or is None although
            several prefixes fit.
        NewerFormatError: a later version of charloom exported the file.
        DamagedError: the file contradicts itself or has numbers that are not finite.
        ReadError: the disk failed while reading.
        TextError: the vocabulary is missing, repeats a character, has the wrong size or contradicts
            the vocabulary in the file.
        ConfigError: `tokens` is neither "characters" nor "bytes"; or it is "bytes", and a character
            is above U+00FF.
    """
    label = str(path)
    # Read the metadata before the tensors. If a later version of charloom wrote the file, only the
    # metadata shows this, and the tensors may be different.
    about = _read_metadata(path)
    tensors = _read_tensors(path)
    try:
        cell, theirs = find_network(tensors, prefixes)
    except NotAModelError as error:
        raise NotAModelError(f"{label}: {error.message}") from None
    # The tensors show only the cell, the sizes and the dtype. The other settings come from a recipe;
    # they matter only if the model is trained further.
    config = recipe_of(DEFAULT_RECIPE).config.replace(
        cell=cell,
        hidden_size=theirs["layers.0.W"].shape[1],
        layers=sum(name.endswith(".W") for name in theirs),
        ngram_order=0,
        input_pairs=0,
        dtype=str(theirs["V"].dtype),
    )
    K = len(theirs["V"])
    if about is not None:
        config, known = _parse_metadata(about, config, label)
        if characters is not None and characters != known:
            raise TextError(
                f"{label} has another vocabulary than the given one. {_difference(characters, known)}"
            )
        characters = known
    config = config.replace(tokens=tokens)
    vocabulary, order = _order(characters, config, K, label)
    shapes = parameter_shapes(config, K)
    theirs["layers.0.U"] = theirs["layers.0.U"][:, order]
    theirs["V"], theirs["c"] = theirs["V"][order], theirs["c"][order]
    require_arrays(theirs, shapes, config, label)
    parameters = {name: np.ascontiguousarray(theirs[name]) for name in shapes}
    slots = zero_slots(config, parameters)
    learner = Learner(config, vocabulary, parameters, slots, zero_state(config))
    if about is not None and HELD in about:
        learner.clamps = parse_held(about[HELD], learner, label)
    return learner


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
        MissingPartError: the built-in text needs an optional package that is not installed.
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


def _read_metadata(path: Path) -> dict[str, Any] | None:
    """Return charloom's metadata in an untrusted file; None if charloom did not write the file.

    Raises:
        NotAModelError: the file is not a safetensors file.
        NewerFormatError: a later version of charloom wrote the file.
        DamagedError: the header of the file is damaged.
    """
    beginning = read_model_file(path, 9 + MOST_METADATA)
    # A safetensors file has eight bytes for a length, and then a {. A pickle does not have a { there.
    if beginning[8:9] != b"{" and beginning.startswith(PICKLES):
        raise NotAModelError(
            f"{path} is a pickle, which could run any code when it is read. In PyTorch, save "
            f"the weights with safetensors.torch.save_file(model.state_dict(), "
            f"'model.safetensors')."
        )
    metadata = metadata_of(beginning, str(path))
    if METADATA_KEY not in metadata:
        return None
    about = parse_object(metadata[METADATA_KEY], f"the metadata of {path}")
    require_format(about, TORCH_FORMAT, str(path))
    return about


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays in an untrusted safetensors file by name, all of one dtype.

    Raises:
        NotAModelError: the tensors are not all F32 or all F64.
        DamagedError: the file contradicts itself.
    """
    try:
        with reading(path), safe_open(path, "np") as tensors:
            types = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
            if len(types) != 1 or not types <= FLOATS:
                raise NotAModelError(
                    f"{path} has tensors of the types {', '.join(sorted(types)) or 'none at all'}; "
                    f"they must be all F32 or all F64. In PyTorch, convert the model with model.float()."
                )
            return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OverflowError) as error:
        raise DamagedError(f"{path} is damaged ({error}).") from None


def _parse_metadata(about: dict[str, Any], found: Config, label: str) -> tuple[Config, list[str]]:
    """Return the settings in charloom's metadata `about`, and the characters in the order of their ids.

    `found` has the settings that the tensors show, and `label` is the name of the file in messages.

    Raises:
        DamagedError: the metadata is damaged, or contradicts the tensors.
    """
    if not {"config", "vocabulary"} <= set(about):
        raise DamagedError(
            f"{label}: its metadata has the fields {', '.join(sorted(about))}; it must have config and "
            f"vocabulary."
        )
    config = parse_config(about["config"], label)
    for name in ("cell", "hidden_size", "layers", "ngram_order", "input_pairs"):
        if getattr(config, name) != getattr(found, name):
            raise DamagedError(
                f"{label}: its metadata says {name} {getattr(config, name)!r}, its tensors "
                f"{getattr(found, name)!r}."
            )
    vocabulary = parse_vocabulary(about["vocabulary"], config, label)
    return config.replace(dtype=found.dtype), list(vocabulary.characters)


def _difference(given: list[str], known: list[str]) -> str:
    """Return the end of an error message: where two vocabularies first differ, and how to fix it.

    `given` and `known` are the characters that the user gave and those in the file.
    """
    pairs = zip_longest(given, known)
    where, (one, other) = next((n, pair) for n, pair in enumerate(pairs) if pair[0] != pair[1])
    return (
        f"Id {where} is {shortened(other)} in the file and {shortened(one)} in the given vocabulary. Omit "
    ).replace("None", "none") + f"{argument('vocabulary')}."


def _order(
    characters: list[str] | None, config: Config, K: int, label: str
) -> tuple[Vocabulary, list[int]]:
    """Return the vocabulary, and a list that gives the id in the file for each id of the vocabulary.

    `characters` are in the order of the file's ids; None if they are not known. `config` says what the ids stand
    for, and whether the last id is the boundary of items. `K` is the number of ids in the file, and `label` is the
    name of the file in messages.
    """
    tokens, size = config.tokens, K - config.has_items
    if characters is None and tokens == "bytes" and size == BYTES:
        characters = list(map(chr, range(BYTES)))
    if characters is None:
        raise TextError(
            f"{label} does not contain the {tokens} of its {size:,} ids; give the text that it was trained "
            f"on as {argument('vocabulary')}, or a .json file with the characters in order."
        )
    if len(characters) != size or len(set(characters)) != size:
        raise TextError(
            f"{label} has {size:,} ids, but the given vocabulary has {len(set(characters)):,} distinct "
            f"{tokens}. Give the text that the model was trained on."
        )
    order = [*sorted(range(size), key=characters.__getitem__), *range(size, K)]
    return Vocabulary(characters, tokens, config.has_items), order
