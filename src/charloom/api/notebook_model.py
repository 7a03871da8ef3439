"""Shows a model in a notebook: its network, its losses, and calls that use it."""

from collections.abc import Iterator
from pathlib import Path

from charloom.cell_table import CELLS
from charloom.formatting import bits_per_character, capitalized, count, counted, one_of
from charloom.messages import command, for_python
from charloom.model import Learner
from charloom.notebook_html import card, code, figures, sentence


def model_card(learner: Learner, stage: str, run: Path | None, has_text: bool) -> str:
    """Return a model as HTML.

    Args:
        learner: the model. Its losses are shown if it has them.
        stage: the stage of training in words.
        run: the run directory; None if there is none.
        has_text: True if the text that the model was trained on is known.
    """
    config = learner.config
    title = f"Model: {CELLS[config.cell].title} with {counted(config.hidden_size, 'hidden unit')}"
    layers = f" in each of {count(config.layers)} layers" if config.layers > 1 else ""
    calls = ['model.sample("The ", length=300)', 'model.score("a text")']
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
