"""Lets a model of a collection write items, and keeps those that the user wants: new, distinct, matching or valid ones."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, overload

import numpy as np

from charloom.api.evaluation_text import TextChoice, TrainedModel, choose_part
from charloom.config import require_whole
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError
from charloom.formatting import counted, listing, shortened
from charloom.messages import argument
from charloom.model import Learner
from charloom.notebook_html import card, sentence, text_table
from charloom.sampling import SampleOptions, Writing
from charloom.text.collection import Collection
from charloom.text.item_duplicates import KnownItems
from charloom.text.item_ids import ItemIds

# A model writes at most this many items for each item that is wanted, so that an impossible wish ends.
MOST_TRIES: Final = 200
MAX_LENGTH: Final = 10_000  # characters of an item, by default
Check = Callable[[str], bool]


@dataclass(frozen=True)
class ItemWishes:
    """Which of the written items are kept. An item that did not end is never kept.

    Attributes:
        new: leave out items that the collection contains.
        distinct: leave out items that were written before.
        matching: keep only items that this regular expression matches as a whole.
        check: keep only items for which this function returns True.
    """

    new: bool = False
    distinct: bool = False
    matching: re.Pattern[str] | None = None
    check: Check | None = None


@dataclass(frozen=True)
class WrittenItem:
    """An item that a model wrote.

    Attributes:
        text: the item.
        number: its number among the texts with the same seed, from 0.
        nats: -ln of the probability of what the model wrote after the prompt, and of the end of the item, at
            temperature 1.
    """

    text: str
    number: int
    nats: float

    @property
    def probability(self) -> float:
        """The probability with which the model writes this item after its prompt, at temperature 1."""
        return math.exp(-self.nats)


@dataclass
class Omitted:
    """How many of the written items were left out, by reason, in the order in which the reasons are tested.

    Attributes:
        unended: items that reached the largest length before they ended.
        known: items that the collection contains.
        repeated: items that were written before.
        unmatched: items that the regular expression does not match.
        failed: items for which the check did not return True.
    """

    unended: int = 0
    known: int = 0
    repeated: int = 0
    unmatched: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """The number of items that were left out."""
        return self.unended + self.known + self.repeated + self.unmatched + self.failed

    @property
    def sentence(self) -> str:
        """What was left out, in words; empty if nothing was."""
        reasons = (
            (self.unended, "did not end within the largest length"),
            (self.known, "in the collection"),
            (self.repeated, "repeated"),
            (self.unmatched, "not matching"),
            (self.failed, "refused by the check"),
        )
        named = [f"{count:,} {words}" for count, words in reasons if count]
        return f"left out: {listing(named)}" if named else ""


@dataclass(frozen=True, repr=False)
class WrittenItems(Sequence[str]):
    """Items that a model wrote: a sequence of strings, which `print` and a notebook show as a list.

    Attributes:
        items: the items that were kept.
        omitted: how many were left out.
        wanted: how many the user wanted.
        between: the text between two items when they are printed.
    """

    items: tuple[WrittenItem, ...]
    omitted: Omitted
    wanted: int
    between: str = "\n"

    @property
    def written(self) -> int:
        """The number of items that the model wrote."""
        return len(self.items) + self.omitted.total

    @property
    def tested(self) -> int:
        """The number of items that the regular expression and the check tested."""
        return len(self.items) + self.omitted.unmatched + self.omitted.failed

    @property
    def pass_rate(self) -> float:
        """The share of the tested items that the regular expression and the check accepted; NaN if none was tested."""
        return len(self.items) / self.tested if self.tested else math.nan

    def notes(self, wishes: ItemWishes) -> list[str]:
        """Return sentences about what was left out, how many passed, and whether items are missing."""
        found = []
        if self.omitted.total:
            found.append(f"{counted(self.written, 'item')} written, {self.omitted.sentence}")
        if wishes.matching is not None or wishes.check is not None:
            found.append(
                f"{len(self.items):,} of {self.tested:,} tested items passed ({100 * self.pass_rate:.1f} %)"
            )
        if len(self.items) < self.wanted:
            found.append(
                f"only {counted(len(self.items), 'item')} of {self.wanted:,} found: the model was stopped after it had "
                f"written {self.written:,}"
            )
        return found

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        texts = [item.text for item in self.items]
        return texts[place]

    def __repr__(self) -> str:
        return self.between.join(self)

    def _repr_html_(self) -> str:
        """Return the items as a list with their bits."""
        rows = [(item.text, f"{item.nats / math.log(2):.1f}") for item in self.items]
        return card(
            counted(len(self.items), "item"),
            sentence(f"{self.omitted.sentence.capitalize()}.") if self.omitted.total else "",
            text_table(("item", "bits"), rows),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "items": [
                {"text": i.text, "number": i.number, "nats": i.nats, "probability": i.probability}
                for i in self.items
            ],
            "written": self.written,
            "omitted": vars(self.omitted),
            "pass_rate": None if math.isnan(self.pass_rate) else self.pass_rate,
        }


class ItemWriter:
    """Writes items until enough of them are kept. Iterating yields each kept item as soon as it is written.

    Args:
        learner: a model of a collection; it is not changed.
        engine: the engine that computes and samples.
        options: how each item is written; `length` is the largest length of an item.
        count: how many items to keep.
        wishes: which items to keep.
        prompt: the beginning of every item.
        known: the items of the collection; needed only for `wishes.new`.
        before: the items that were written before, for `wishes.distinct`; further ones are added.
    """

    def __init__(
        self,
        learner: Learner,
        engine: Engine,
        options: SampleOptions,
        count: int,
        wishes: ItemWishes,
        prompt: str = "",
        known: KnownItems | None = None,
        before: set[str] | None = None,
    ) -> None:
        self._learner, self._engine, self._options = learner, engine, options
        self._count, self._wishes, self._prompt, self._known = count, wishes, prompt, known
        self._beginning = learner.vocabulary.encode_with(prompt, options.policy).ids
        self._before = set[str]() if before is None else before
        self._omitted, self._kept = Omitted(), list[WrittenItem]()

    def __iter__(self) -> Iterator[WrittenItem]:
        vocabulary = self._learner.vocabulary
        for number in range(MOST_TRIES * self._count):
            if len(self._kept) == self._count:
                return
            writing = Writing(
                self._learner, self._engine, self._prompt, self._options, number=number
            )
            drawn = np.concatenate([piece.ids for piece in iter(writing.step, None)])
            ids = np.concatenate([self._beginning, drawn])
            text = vocabulary.decode(ids)
            if self._is_kept(text, ids, unended=writing.ended != "item"):
                item = WrittenItem(text, number, writing.nats_of(drawn))
                self._kept.append(item)
                yield item

    def _is_kept(self, text: str, ids: Ids, unended: bool) -> bool:
        """Return True if an item is kept; otherwise count why it is left out."""
        wishes, omitted = self._wishes, self._omitted
        if unended:
            omitted.unended += 1
        elif self._known is not None and ids in self._known:
            omitted.known += 1
        elif wishes.distinct and text in self._before:
            omitted.repeated += 1
        elif wishes.matching is not None and not wishes.matching.fullmatch(text):
            omitted.unmatched += 1
        elif wishes.check is not None and not passes(wishes.check, text):
            omitted.failed += 1
        else:
            self._before.add(text)
            return True
        return False

    @property
    def result(self) -> WrittenItems:
        """The items that were kept so far."""
        between = Collection.of(self._learner.config)
        return WrittenItems(
            tuple(self._kept), self._omitted, self._count, between.between if between else "\n"
        )


def passes(check: Check, item: str) -> bool:
    """Return what the check says about an item; raise ConfigError if it returns neither True nor False."""
    found = check(item)
    if not isinstance(found, bool | np.bool_):
        raise ConfigError(
            f"the check returned {shortened(found)} for the item {shortened(item)}; it must return True or False."
        )
    return bool(found)


def item_writer(
    model: "ItemModel",
    options: SampleOptions,
    count: int,
    wishes: ItemWishes,
    prompt: str = "",
    before: set[str] | None = None,
) -> ItemWriter:
    """Return a writer of items, with the items of the model's own collection if `wishes` needs them.

    Raises:
        ConfigError: the model did not learn a collection, or `count` is out of its range.
        TextError: the items must be new, and the collection cannot be read.
    """
    learner, count = model.learner, require_whole("count", count, least=1)
    if learner.vocabulary.boundary is None:
        raise ConfigError(
            f"the model learned a stream of {learner.config.tokens}, which has no items. Write a text instead, "
            f"or train a model with {argument('items')}."
        )
    known = KnownItems(own_items(model)) if wishes.new else None
    return ItemWriter(learner, model.engine, options, count, wishes, prompt, known, before)


def own_items(model: "ItemModel") -> ItemIds:
    """Return the collection that a model was trained on. The errors are those of `item_writer`."""
    ids = choose_part(model, TextChoice(split="all")).corpus.ids
    if not isinstance(ids, ItemIds):
        raise ConfigError("the text of the model is not a collection of items.")
    return ids


class ItemModel(TrainedModel, Protocol):
    """The attributes of `Model` that this module needs."""

    @property
    def engine(self) -> Engine:
        """The engine that computes."""
