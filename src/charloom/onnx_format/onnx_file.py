"""Makes the bytes of an ONNX file from a model, and the Python code that runs it (spec/formats.md: ONNX files)."""

from typing import Final

import numpy as np

from charloom.canonical_form import canonical_json
from charloom.errors import ConfigError, DivergedError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.model import Learner
from charloom.model.item_resets import refuse_items
from charloom.model.learner import RECENT
from charloom.model.mixture_parts import refuse_ngrams
from charloom.onnx_format.network_graph import graph_of_network, state_names
from charloom.onnx_format.onnx_model import Graph, model_message
from charloom.registered_cells import built_in_cell
from charloom.store.format_versions import ONNX_FORMAT
from charloom.store.training_state import require_finite

ABOUT_KEY: Final = "charloom.onnx"
MOST_BYTES: Final = 2**31 - 1  # of a protobuf message

RUNNING: Final = """\
import json
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map[{key!r}])
characters = [chr(point) for point in about["vocabulary"]]  # of id 0, 1, 2 ...


def zero_state(B):  # of B texts before their first character
    return {{
{state}
    }}


def run(ids, state):  # ids (T, B) -> logits (T, B, {K}), next state
    logits, *after = session.run(None, {{"ids": np.asarray(ids, np.int64), **state}})
    return logits, dict(zip(state, after))
"""
ZEROS: Final = '        "{name}": np.zeros(({L}, B, {H}), np.float32),'
NO_ID_YET: Final = '        "{name}": np.full((1, B), -1, np.int64),'


def onnx_bytes(learner: Learner, file: str) -> bytes:
    """Return the bytes of an ONNX file that contains the whole model, with its weights in float32.

    Args:
        learner: the model.
        file: name of the file. The file also stores Python code that runs the file by this name.

    Raises:
        ConfigError: the model has n-grams, a registered cell or items, or it is too large for an ONNX file.
        DivergedError: a number in the model is not finite, or too large for float32.
    """
    built_in_cell(learner.config.cell, "an ONNX file")
    refuse_items(learner, "an ONNX file")
    refuse_ngrams(learner, "which charloom does not write into ONNX files")
    require_finite(learner)
    with np.errstate(over="ignore"):  # _require_float32 finds it
        graph = graph_of_network(learner)
    _require_float32(graph)
    about = {
        "format": ONNX_FORMAT,
        "config": learner.config.to_dict(),
        "vocabulary": [ord(character) for character in learner.vocabulary.characters],
        "load": loading_lines(learner, file),
    }
    description = (
        f"A recurrent network that predicts text, from charloom. The metadata {ABOUT_KEY} has its vocabulary, and "
        f"Python code that runs it."
    )
    blocks = model_message(graph, description, {ABOUT_KEY: canonical_json(about).decode("ascii")})
    if (size := sum(map(len, blocks))) > MOST_BYTES:
        raise ConfigError(
            f"the model is too large for an ONNX file: it would have {counted(size, 'byte')}, and at most "
            f"{MOST_BYTES:,} are possible. Give {argument('to', 'torch')}, or train a smaller network."
        )
    return b"".join(blocks)


def _require_float32(graph: Graph) -> None:
    """Raise DivergedError if a weight became infinite when it was rounded to float32."""
    wrong = [name for name, array in graph.constants.items() if not np.isfinite(array).all()]
    if wrong:
        raise DivergedError(
            f"{', '.join(wrong)} of the model has numbers above {np.finfo(np.float32).max:.1e}, the largest one of "
            f"float32, in which an ONNX file has them. Train the model with a lower learning rate."
        )


def loading_lines(learner: Learner, file: str) -> str:
    """Return Python code that runs the file `file` with onnxruntime.

    The code defines the functions `zero_state` and `run`, the list `characters` and the metadata `about`.
    """
    config = learner.config
    lines = [
        (NO_ID_YET if name == RECENT else ZEROS).format(
            name=before, L=config.layers, H=config.hidden_size
        )
        for name, (before, _) in state_names(learner).items()
    ]
    return RUNNING.format(
        file=file, key=ABOUT_KEY, state="\n".join(lines), K=len(learner.vocabulary)
    )
