"""Writes a model card: the README.md of a model on a hub, with its figures and how to use it."""

import re
from dataclasses import dataclass
from typing import Final

from charloom.config import require_string
from charloom.errors import ConfigError
from charloom.formatting import (
    bits_per_character,
    capitalized,
    count,
    counted,
    decimals,
    one_of,
    shortened,
)
from charloom.messages import Placeholder, argument, for_any_face, terminal_command
from charloom.model import Learner
from charloom.model.input_pairs import pair_rows
from charloom.registered_cells import cell_named

DEFAULT_LICENSE: Final = "unknown"
# The identifiers of licenses on Hugging Face. No other text gets into the card's YAML.
LICENSE_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")

CARD_TEXT: Final = """\
---
library_name: charloom
pipeline_tag: text-generation
license: {license}
tags:
- charloom
- char-rnn
- {cell}
---

# {title}

This model predicts a text one {one} at a time. It is {kind}, trained with charloom.{about}

## Figures

| | |
|---|---|
{figures}

## Use

Install charloom and download this directory. Then let the model write:

```sh
{command}
```

```python
import charloom

model = charloom.load("DIRECTORY")
print(model.sample(length=500))
```

## Contents

`model.safetensors` has the weights, the settings and the vocabulary of the model. Nothing in it is executed.{ngrams}
"""
NGRAMS: Final = """
It also has the n-grams of the training text: which characters follow each string of up to {longest}. So it shows which
strings of up to {order} the text contains."""


@dataclass(frozen=True)
class CardWords:
    """What a user says about a model for its card.

    Attributes:
        about: what the model was trained on, such as "the novels of Jane Austen"; None says nothing about it.
        license: the identifier of the model's license on Hugging Face, such as "mit".
    """

    about: str | None = None
    license: str = DEFAULT_LICENSE

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is not valid."""
        if self.about is not None and not require_string("about", self.about).strip():
            raise ConfigError(
                f"{argument('about')} is empty; say what the model was trained on, or leave it out."
            )
        if not LICENSE_NAME.fullmatch(require_string("license", self.license)):
            raise ConfigError(
                f"{argument('license')} is {shortened(self.license)}; it must be an identifier of small letters, "
                f"digits, points and hyphens, such as mit, apache-2.0, cc-by-4.0 or other."
            )

    @property
    def sentence(self) -> str:
        """The sentence that says what the model was trained on; empty if the user does not say it."""
        if self.about is None:
            return ""
        return f"It was trained on {self.about.strip().removesuffix('.')}."


def model_card(learner: Learner, update: int | None, words: CardWords) -> str:
    """Return the model card of a model as Markdown.

    The card does not name the text that the model was trained on, except by `words`.

    Args:
        learner: the model.
        update: the number of updates that made its weights; None if it is not known.
        words: what the user says about the model.
    """
    config = learner.config
    one, title = one_of(config.tokens), cell_named(config.cell).title
    order = config.ngram_order
    return CARD_TEXT.format(
        license=words.license,
        cell=config.cell,
        title=capitalized(f"{title} that writes text, {one} by {one}"),
        one=one,
        command=for_any_face(terminal_command("sample", Placeholder("DIRECTORY"), length=500)),
        kind=f"{title} with {counted(config.layers, 'layer')} of {counted(config.hidden_size, 'hidden unit')}",
        about=f" {words.sentence}" if words.sentence else "",
        figures="\n".join(
            f"| {name} | {value} |" for name, value in figures(learner, update).items()
        ),
        ngrams=NGRAMS.format(longest=counted(order - 1, one), order=counted(order, one))
        if order
        else "",
    )


def figures(learner: Learner, update: int | None) -> dict[str, str]:
    """Return the sizes of a model and its validation loss, each with its name. The arguments are those of `model_card`."""
    config, K = learner.config, len(learner.vocabulary)
    weights = sum(array.size for array in learner.parameters.values())
    rows = {
        "cell": config.cell,
        "layers": count(config.layers),
        "hidden units per layer": count(config.hidden_size),
        "vocabulary": f"{count(K)} {config.tokens}",
        "weights": f"{count(weights)} of type {config.dtype}",
    }
    if config.ngram_order:
        rows["n-grams"] = f"up to {counted(config.ngram_order, one_of(config.tokens))}"
    if config.input_pairs:
        rows["inputs for pairs"] = count(pair_rows(config, K))
    if update is not None:
        rows["updates"] = count(update)
    if (nats := validation_loss(learner)) is not None:
        bits = decimals(bits_per_character(nats), 3)
        rows["validation loss"] = (
            f"{decimals(nats, 3)} nats or {bits} bits per {one_of(config.tokens)}"
        )
    return rows


def validation_loss(learner: Learner) -> float | None:
    """Return the validation loss of a model in nats per character; None if it is not known.

    A learner has only the lowest loss so far. It is that of the present weights if it was computed at the present update.
    """
    known = learner.config.validation and learner.update == learner.best_update
    return learner.best_loss if known else None
