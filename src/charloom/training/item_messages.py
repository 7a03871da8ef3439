"""Sentences about items before training: that a stream looks like a list of items, and repeated held-out items."""

from collections.abc import Iterator

from charloom.config import Config
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.text import Corpus
from charloom.text.item_duplicates import duplicates_across_parts
from charloom.text.item_ids import ItemIds
from charloom.text.line_shape import last_lines_if_sorted, looks_like_a_list


def item_sentences(config: Config, corpus: Corpus) -> Iterator[str]:
    """Yield what a user may want to know about the items of a text before training."""
    ids = corpus.ids
    if isinstance(ids, ItemIds):
        if config.validation or config.test:
            found = duplicates_across_parts(config, ids)
            if found.repeated:
                yield repeated_sentence(found.repeated, found.held_out)
        return
    lines = looks_like_a_list(corpus.vocabulary, ids)
    if lines is not None:
        yield (
            f"{lines:,} short lines: did you mean {argument('items', 'lines')}? The text is read as one stream"
        )
    if config.validation or config.test:
        last = last_lines_if_sorted(corpus.vocabulary, ids)
        if last is not None:
            yield (
                f"the lines of the text look sorted, and the held-out part is its end, such as {shortened(last)}, so its "
                f"loss says little about the rest: shuffle the lines, or use {argument('items', 'lines')}"
            )


def repeated_sentence(repeated: int, held_out: int) -> str:
    """Return a sentence about held-out items that also occur in the training part."""
    occur = "occurs" if repeated == 1 else "occur"
    return (
        f"{repeated:,} of {counted(held_out, 'held-out item')} also {occur} in the training part, so the loss on the "
        f"held-out items is lower than on new ones"
    )
