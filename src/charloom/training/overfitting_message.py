"""Makes the message that a model overfits, with the update since when and what to try."""

from pathlib import Path

from charloom.formatting import decimals
from charloom.messages import argument, terminal_command
from charloom.training.overfitting_check import Overfitting


def overfitting_sentence(found: Overfitting, run: Path, kept: int | None) -> str:
    """Return a marked message that the model overfits, since which update, and what to try.

    Args:
        found: how the run overfitted.
        run: the run directory.
        kept: update of the best checkpoint that the run still has; None if it has none.
    """
    return (
        f"the validation loss was lowest at update {found.update:,} and has risen since by "
        f"{decimals(found.rise, 2)} nats ({100 * found.share:.0f} %): the model overfits. "
        f"{writing_sentence(found, run, kept)} When you train again, try {argument('dropout')}, a smaller "
        f"{argument('hidden_size')} or {argument('patience')}."
    )


def writing_sentence(found: Overfitting, run: Path, kept: int | None) -> str:
    """Return a sentence that names the checkpoint which `charloom sample` uses."""
    sample = terminal_command("sample", run)
    if kept == found.update:
        return f"{sample} uses the best checkpoint."
    used = "the last one" if kept is None else f"that of update {kept:,}, the best one that is left"
    return f"The checkpoint of that update is lost; {sample} uses {used}."
