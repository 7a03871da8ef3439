"""Makes the messages that a model writes badly from the state in which it begins, with advice."""

from typing import Final

from charloom.formatting import decimals
from charloom.messages import argument
from charloom.model import Learner, Start, StartLosses
from charloom.training.start_measurement import COUNTED

STATES: Final[dict[Start, str]] = {
    "text": "the state at the end of its training",
    "zero": "the zero state",
}


def bad_start(learner: Learner, start: Start, prompt: bool) -> str | None:
    """Return a message that the model writes badly from the state in which a text begins.

    Return None if it writes well, or if this was not measured.

    Args:
        learner: the model.
        start: the chosen start of the text.
        prompt: True if the text has a prompt.
    """
    losses = learner.start_losses
    if losses is None or not losses.is_bad(start, prompt):
        return None
    other: Start = "zero" if start == "text" else "text"
    if losses.is_bad(other, prompt):
        return f"{finding(losses, start, prompt)} Train the model further."
    return f"{finding(losses, start, prompt)} Begin with {argument('start', other)}."


def bad_export(losses: StartLosses | None) -> str | None:
    """Return a message that an exported model begins in a state from which it writes badly.

    Return None if it writes well from the zero state, or if this was not measured. `losses` are the measured
    losses of the model.
    """
    if losses is None or not losses.is_bad("zero", prompt=True):
        return None
    return (
        f"{finding(losses, 'zero', True)} The exported model begins in the zero state: let it read a part of "
        f"its training text before it writes."
    )


def bad_reading(losses: StartLosses | None) -> str | None:
    """Return a message that a model predicts the first characters of a text badly, because it begins in the zero state.

    Return None if it predicts well from the zero state, or if this was not measured. `losses` are the measured
    losses of the model.
    """
    if losses is None or not losses.is_bad("zero", prompt=True):
        return None
    return (
        f"{finding(losses, 'zero', True)} The text is read from the zero state, so do not trust the values at its "
        f"first characters. Some such models predict the rest badly too."
    )


def bad_starts(losses: StartLosses | None) -> str | None:
    """Return a message for the end of training: the model writes badly from a state in which it can begin.

    Return None if it writes well from all of them, or if this was not measured. `losses` are the measured
    losses of the model.
    """
    if losses is None:
        return None
    if losses.is_bad("text", prompt=True):
        return f"{finding(losses, 'text', True)} Train the model further."
    prompt = losses.zero >= losses.zero_alone
    if not losses.is_bad("zero", prompt):
        return None
    # Evaluations do not read a line feed first, so they are affected only if a text with a prompt is.
    others = ""
    if losses.is_bad("zero", prompt=True):
        others = " Evaluations and exported models begin in the zero state."
    return (
        f"{finding(losses, 'zero', prompt)} Therefore a text begins in {STATES['text']}, unless you choose "
        f"{argument('start', 'zero')}.{others}"
    )


def finding(losses: StartLosses, start: Start, prompt: bool) -> str:
    """Return a sentence that compares the loss from a start with the lowest one. The arguments are those of `loss`."""
    without = "" if prompt or start == "text" else " and without a prompt"
    return (
        f"from {STATES[start]}{without}, the model writes badly: it predicts the first {COUNTED} characters "
        f"of a line with a loss of {decimals(losses.loss(start, prompt), 2)} nats per character, but with "
        f"{decimals(losses.lowest, 2)} {best_case(losses)}."
    )


def best_case(losses: StartLosses) -> str:
    """Return in words the case in which the loss is lowest."""
    if losses.lowest == losses.context:
        return "if it has read the text before the line"
    return f"from {STATES['text' if losses.lowest == losses.text else 'zero']}"
