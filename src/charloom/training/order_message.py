"""Says in a sentence in which order training reads the windows of the text, and when it resets the hidden state."""

from charloom.config import Config
from charloom.formatting import counted


def order_sentence(config: Config) -> str:
    """Return a sentence about the order of the windows and the resets (spec/mathematics.md: Windows)."""
    several = config.batch_size > 1
    if config.order == "chunks":
        chunks = counted(config.chunks, "chunk")
        return (
            f"Each epoch reads {chunks} of {'each stream' if several else 'the text'}, in a new random order and "
            f"each in sequence; the hidden state is reset before each chunk."
        )
    if config.order == "random":
        return (
            "Each window begins at a random position of the text, and the hidden state is reset before each window; "
            "an epoch has as many windows as in sequence."
        )
    read = f"the {counted(config.batch_size, 'stream')}" if several else "the text"
    return f"Each epoch reads {read} in sequence; the hidden state is reset only before each epoch."
