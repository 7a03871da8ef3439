"""Makes the files of a model directory: the model file, config.json and the model card."""

import json
import re
from hashlib import sha256
from typing import Final

from charloom.hub_format.card_text import CardWords, model_card
from charloom.model import Learner
from charloom.run_file_names import CONFIG, MODEL
from charloom.store.atomic_files import Data
from charloom.store.model_directory import CARD, MODEL_TYPE, OUR_TYPE
from charloom.store.model_file import model_blocks
from charloom.store.training_state import require_finite

SEAL_COMMENT: Final = re.compile(rb"\n<!-- charloom [0-9a-f]{64} -->\n\Z")
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
        CARD: sealed_card(model_card(learner, update, words).encode()),
        CONFIG: json.dumps(about, indent=2, sort_keys=True).encode() + b"\n",
        MODEL: model_blocks(learner, update),
    }


def sealed_card(card: bytes) -> bytes:
    """Return a model card with a comment at its end that has the SHA-256 of the rest. The page of a hub hides it."""
    return card + f"\n<!-- charloom {sha256(card).hexdigest()} -->\n".encode("ascii")


def is_unedited(card: bytes) -> bool:
    """Return True if a model card is as `hub_files` made it. Line ends may have been changed."""
    card = card.replace(b"\r\n", b"\n")
    seal = SEAL_COMMENT.search(card)
    return seal is not None and sealed_card(card[: seal.start()]) == card


def loading_lines(path: str) -> str:
    """Return Python code that loads the model directory at `path` and lets the model write."""
    return LOADING.format(path=path)
