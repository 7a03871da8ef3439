"""Makes the message that a model overfits, with the update since when and what to try."""

from charloom.formatting import decimals
from charloom.messages import argument
from charloom.training.overfitting_check import Overfitting


def overfitting_sentence(found: Overfitting, kept: int | None, writer: str) -> str:
    """Return a marked message that the model overfits, since which update, and what to try.

    Args:
        found: how the run overfitted.
        kept: update of the best checkpoint that the run still has; None if it has none.
        writer: what the reader writes texts with, such as a marked command; it begins a sentence.
    """
    return (
        f"the validation loss was lowest at update {found.update:,} and has risen since by "
        f"{decimals(found.rise, 2)} nats ({100 * found.share:.0f} %): the model overfits. "
        f"{writing_sentence(found, kept, writer)} When you train again, try {argument('dropout')}, a smaller "
        f"{argument('hidden_size')} or {argument('patience')}."
    )


def writing_sentence(found: Overfitting, kept: int | None, writer: str) -> str:
    """Return a sentence that names the checkpoint which `writer` uses."""
    if kept == found.update:
        return f"{writer} uses the best checkpoint."
    used = "the last one" if kept is None else f"that of update {kept:,}, the best one that is left"
    return f"The checkpoint of that update is lost; {writer} uses {used}."
