"""Makes the files of a model directory: the model file, config.json and the model card."""

import json
from typing import Final

from charloom.hub_format.card_text import CardWords, model_card
from charloom.model import Learner
from charloom.run_file_names import CONFIG, MODEL
from charloom.store.atomic_files import Data
from charloom.store.model_directory import CARD, MODEL_TYPE, OUR_TYPE
from charloom.store.model_file import model_blocks
from charloom.store.training_state import require_finite

LOADING: Final = """\
import charloom

model = charloom.load({path!r})
print(model.sample(length=500))
"""


def hub_files(learner: Learner, update: int | None, words: CardWords) -> dict[str, Data]:
    """Return the contents of each file of a model directory, by file name.

    They share the learner's memory, so write them before the learner changes.

    Args:
        learner: the model.
        update: the number of updates that made its weights; None if it is not known.
        words: what the user says about the model, for its card.

    Raises:
        DivergedError: a number in the model is not finite.
    """
    require_finite(learner)
    about = {
        MODEL_TYPE: OUR_TYPE,
        "vocab_size": len(learner.vocabulary),
        **learner.config.to_dict(),
    }
    return {
        CARD: model_card(learner, update, words).encode(),
        CONFIG: json.dumps(about, indent=2, sort_keys=True).encode() + b"\n",
        MODEL: model_blocks(learner, update),
    }


def loading_lines(path: str) -> str:
    """Return Python code that loads the model directory at `path` and lets the model write."""
    return LOADING.format(path=path)
