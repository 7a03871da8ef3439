"""Shows every value of a small network over one window: the Python function of `charloom trace`."""

from pathlib import Path
from typing import Any

from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, open_text
from charloom.config import SEED_LIMIT, require_whole
from charloom.errors import ConfigError, TextError
from charloom.formatting import counted
from charloom.messages import argument, arguments
from charloom.network_trace import (
    Trace,
    learner_problem,
    random_ids,
    random_problem,
    require_small,
    trace_problem,
)


def trace(
    text: Text | None = None,
    *,
    string: str | None = None,
    model: Model | str | Path | None = None,
    cell: str | None = None,
    layers: int | None = None,
    hidden_size: int | None = None,
    seq_length: int | None = None,
    vocabulary_size: int | None = None,
    state: str | None = None,
    seed: int = 0,
) -> Trace:
    """Compute every value of a small network over one window, forward and backward.

    The values have the names of the equations (spec/mathematics.md: Traces), such as h_1, da_3 and dW. Without a
    model, each parameter is a random one of ±0.1, ±0.2 … ±0.9, so that it is easy to compute with. A model is read
    from the zero state, as when it predicts a text.

    Args:
        text: paths, or the name of a built-in text; the network reads its first characters. Without `text` and
            `string`, the ids are random.
        string: the characters themselves, instead of `text`.
        model: a model, or a path that `load` opens, with the weights to use. The vocabulary is that of the model.
        cell: "rnn", "lstm" or "gru"; None means "rnn".
        layers: number L of layers; None means 1.
        hidden_size: number H of hidden units; None means 2.
        seq_length: number T of steps; None means 3, or all characters of `string`.
        vocabulary_size: number K of ids; None means 3. With a text, K is the number of its different characters.
        state: initial state, "zero" or "non-zero" (numbers like the parameters); None means "non-zero".
        seed: seed of the random numbers.

    Raises:
        ConfigError: a setting is out of its range, contradicts the model or the text, or the network is too large.
        TextError: the text has fewer than T + 1 characters, or fewer than two different ones.
        NotAModelError: `model` is a path of something else.
    """
    if text is not None and string is not None:
        raise ConfigError(
            f"{argument('text')} and {argument('string')} both give a text; give only one of them."
        )
    settings: dict[str, Any] = {
        "cell": cell, "layers": layers, "hidden_size": hidden_size, "vocabulary_size": vocabulary_size,
        "state": state,
    }  # fmt: skip
    given = {name: value for name, value in settings.items() if value is not None}
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    written = _first_characters(text, string, seq_length)
    T = 3 if seq_length is None else require_whole("seq_length", seq_length, least=1)
    if model is not None:
        if given:
            raise ConfigError(f"the model has its own settings; leave out {arguments(**given)}.")
        return _trace_model(model, written, T, seed)
    if written is not None and vocabulary_size is not None:
        raise ConfigError(
            f"{argument('vocabulary_size')} is only for random ids: leave it out, or leave out the text."
        )
    if written is not None:
        T = len(written) - 1
    return trace_problem(random_problem(**given, seq_length=T, seed=seed, string=written))


def _first_characters(text: Text | None, string: str | None, seq_length: int | None) -> str | None:
    """Return the first T + 1 characters of a text; None if there is no text.

    T is `seq_length`; if it is None, T is 3 for a `text`, and all that `string` has.
    """
    if seq_length is not None:
        seq_length = require_whole("seq_length", seq_length, least=1)
    if text is not None:
        corpus, T = open_text(text), seq_length or 3
        found = corpus.vocabulary.decode(corpus.ids[: T + 1])
    elif string is not None:
        found, T = string, seq_length or max(len(string) - 1, 1)
    else:
        return None
    found = found[: T + 1]
    if len(found) < T + 1 or len(set(found)) < 2:
        raise TextError(
            f"the text has {counted(len(found), 'character')}, {len(set(found))} of them different; a trace of "
            f"{counted(T, 'step')} needs {T + 1} characters, and at least two different ones."
        )
    return found


def _trace_model(model: Model | str | Path, written: str | None, T: int, seed: int) -> Trace:
    """Return the trace of a model on a text, or on T + 1 random ids."""
    opened = model if isinstance(model, Model) else load(model)
    vocabulary = opened.learner.vocabulary
    numbers = sum(array.size for array in opened.learner.parameters.values())
    require_small(numbers, T if written is None else len(written) - 1)
    ids = random_ids(seed, T, len(vocabulary)) if written is None else vocabulary.encode(written)
    origin = "the weights of a model" if isinstance(model, Model) else f"the weights of {model}"
    return trace_problem(learner_problem(opened.learner, ids.tolist(), origin))
