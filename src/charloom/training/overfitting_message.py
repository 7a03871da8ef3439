"""Makes the message that a model overfits, with the update of the lowest loss and with advice."""

from charloom.formatting import decimals
from charloom.messages import argument
from charloom.training.overfitting_check import Overfitting


def overfitting_sentence(found: Overfitting, kept: int | None, writer: str) -> str:
    """Return a message that the model overfits, with the update of the lowest loss and with advice.

    The message has placeholders for the names of settings (see `charloom.messages`).

    Args:
        found: when and how much the run overfitted.
        kept: the update of the best checkpoint that the run still has; None if the run has no checkpoint
            of its best learner.
        writer: the command, or the part of the page, with which a user samples text from the model. The
            message says which checkpoint `writer` uses.
    """
    return (
        f"the validation loss was lowest at update {found.update:,} and has risen since by "
        f"{decimals(found.rise, 2)} nats ({100 * found.share:.0f} %): the model overfits. "
        f"{writing_sentence(found, kept, writer)} When you train again, try {argument('dropout')}, a smaller "
        f"{argument('hidden_size')} or {argument('patience')}."
    )


def writing_sentence(found: Overfitting, kept: int | None, writer: str) -> str:
    """Return a sentence saying which checkpoint is used for sampling after a run overfitted.

    The arguments are those of `overfitting_sentence`. The sentence says which checkpoint `writer`, such as
    "charloom sample", uses.
    """
    if kept == found.update:
        return f"{writer} uses the best checkpoint."
    used = "the last one" if kept is None else f"that of update {kept:,}, the best one that is left"
    return f"The checkpoint of that update is lost; {writer} uses {used}."
