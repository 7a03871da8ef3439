"""Shows a model in a notebook: its network, its losses, and calls that use it."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.errors import UnknownCharacterError
from charloom.formatting import bits_per_character, capitalized, count, counted, one_of
from charloom.messages import command, for_python
from charloom.model import Learner
from charloom.notebook_html import card, code, figures, sentence
from charloom.registered_cells import cell_named
from charloom.run_file_names import PASSAGE
from charloom.text import Corpus, Vocabulary

USUAL: Final = "The "  # the beginning of a text for a model whose own text is not known
BEGINNING: Final = 500  # characters of a text in which its first word is looked for
WORD: Final = re.compile(r"[^\W\d_]{2,20} ")


def own_beginning(vocabulary: Vocabulary, corpus: Corpus | None, run: Path | None) -> str:
    """Return a word with which a model may begin a text, from the text that it learned or wrote; "" if none is known.

    Args:
        vocabulary: the vocabulary of the model; it has all characters of the result.
        corpus: the text that the model learned; None if it is not known.
        run: the run directory, which has a passage that the model wrote; None if there is none.
    """
    text = USUAL
    if corpus is not None:
        text = corpus.vocabulary.decode(corpus.ids[:BEGINNING])
    elif run is not None:
        with suppress(OSError), (run / PASSAGE).open(encoding="utf-8", errors="replace") as file:
            text = file.read(BEGINNING)
    for word in (*WORD.findall(text), USUAL):
        with suppress(UnknownCharacterError):
            vocabulary.encode(word)
            return str(word)
    return ""


def model_card(
    learner: Learner, stage: str, run: Path | None, has_text: bool, beginning: str = USUAL
) -> str:
    """Return a model as HTML.

    Args:
        learner: the model. Its losses are shown if it has them.
        stage: the stage of training in words.
        run: the run directory; None if there is none.
        has_text: True if the text that the model was trained on is known.
        beginning: with what a text of the model may begin; "" if nothing is known.
    """
    config = learner.config
    title = (
        f"Model: {cell_named(config.cell).title} with {counted(config.hidden_size, 'hidden unit')}"
    )
    layers = f" in each of {count(config.layers)} layers" if config.layers > 1 else ""
    prompt = f'"{beginning}", ' if beginning else ""
    calls = [f"model.sample({prompt}length=300)"]
    if beginning:
        calls.append(f'model.score("{beginning}")')
    if has_text:
        calls.append("model.evaluate()")
    if run is not None:
        calls.append(for_python(command("resume", run, minutes=5)))
    rows = {**dict(sizes(learner)), "state": capitalized(stage), **dict(losses(learner))}
    use = sentence("For example, if its name is model:", quiet=True)
    return card(title + layers, figures(rows.items()), use, code(*calls))


def sizes(learner: Learner) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the sizes of a model."""
    config = learner.config
    yield "parameters", count(sum(array.size for array in learner.parameters.values()))
    yield "vocabulary", f"{count(len(learner.vocabulary))} different {config.tokens}"
    if config.ngram_order:
        yield "n-grams", f"of up to {counted(config.ngram_order, one_of(config.tokens))}"
    if learner.pairs is not None:
        yield "inputs for pairs", count(learner.pairs.used)


def losses(learner: Learner) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the losses of a model: the lowest validation loss, and the smooth loss."""
    config, one = learner.config, one_of(learner.config.tokens)
    if config.validation and learner.best_loss is not None:
        at = f", at update {count(learner.best_update)}" if learner.best_update else ""
        bits = bits_per_character(learner.best_loss)
        yield (
            "lowest validation loss",
            f"{bits:.3f} bits or {learner.best_loss:.4f} nats per {one}{at}",
        )
    if learner.smooth_loss is not None:
        bits = bits_per_character(learner.smooth_loss, config.seq_length)
        nats = learner.smooth_loss / config.seq_length
        yield "smooth training loss", f"{bits:.3f} bits or {nats:.4f} nats per {one}"
