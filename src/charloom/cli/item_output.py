"""Prints the items that a model of a collection writes, and says which were left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.api.item_writing import MAX_LENGTH, Check, ItemWishes, item_writer
from charloom.cli.model_commands import flat_options, model_identity
from charloom.cli.options import given_path
from charloom.cli.terminal import say, say_sentences, show, show_json
from charloom.config import require_whole
from charloom.errors import ConfigError
from charloom.formatting import harmless, shortened
from charloom.pattern_matches import require_regex
from charloom.sampling import DEFAULT_OPTIONS, SampleOptions
from charloom.user_files import failure, module_of_file

if TYPE_CHECKING:
    from charloom.api import Model


@dataclass(frozen=True)
class GivenWishes:
    """What the user wants of the items.

    Attributes:
        wishes: which items are kept.
        max_length: the largest number of characters of an item; None for the default.
    """

    wishes: ItemWishes
    max_length: int | None

    def require_none(self, why: str) -> None:
        """Raise ConfigError if the user wants something of items, which is not possible here; `why` says why."""
        if self != GivenWishes(ItemWishes(), None):
            raise ConfigError(
                f"--max-length, --new, --distinct, --matching and --check choose among items, {why}."
            )


def item_wishes(
    max_length: int | None, new: bool, distinct: bool, matching: str | None, check: str | None
) -> GivenWishes:
    """Return what the user wants of the items, from the options."""
    if max_length is not None:
        require_whole("max_length", max_length, least=1)
    pattern = None if matching is None else require_regex(matching)
    wishes = ItemWishes(new, distinct, pattern, None if check is None else check_of(check))
    return GivenWishes(wishes, max_length)


def check_of(given: str) -> Check:
    """Return the function that `given` names, such as rules.py:is_valid.

    Raises:
        ConfigError: the file or the function does not exist, or the file fails. The function raises it too, if the
            user's function fails.
    """
    file, _, name = given.rpartition(":")
    if not file or not name:
        raise ConfigError(
            f"--check is {shortened(given)}; it must name a file and a function, such as rules.py:is_valid."
        )
    path = given_path(file)
    function = getattr(module_of_file(path, "file of the check"), name, None)
    if not callable(function):
        raise ConfigError(f"{shortened(path)} has no function {shortened(name)}.")

    def checked(item: str) -> bool:
        try:
            return function(item)  # type: ignore[no-any-return]
        except Exception as error:
            raise ConfigError(f"for the item {shortened(item)}, {failure(path, error)}") from None

    return checked


def show_items(
    model: Path,
    opened: "Model",
    prompts: Sequence[str],
    options: SampleOptions,
    count: int,
    given: GivenWishes,
    as_json: bool,
) -> None:
    """Write and print `count` items for each prompt. `model` is the path of the model `opened`."""
    if options.stop or options.length != DEFAULT_OPTIONS.length:
        raise ConfigError(
            "--stop and --length end a text, but a model of items ends each item itself; give --max-length, or neither."
        )
    options = replace(options, length=given.max_length or MAX_LENGTH)
    wishes, before = given.wishes, set[str]()
    for prompt in prompts:
        unknowns = opened.vocabulary.encode_with(prompt, options.policy).unknown
        if unknowns.total:
            say(f"{unknowns.sentence} in the prompt.")
    writers = [item_writer(opened, options, count, wishes, prompt, before) for prompt in prompts]
    if as_json:
        found: list[dict[str, Any]] = []
        for prompt, writer in zip(prompts, writers, strict=True):
            for _ in writer:
                pass
            found.append({"prompt": prompt, **writer.result.to_json()})
        show_json({**model_identity(model, opened), **flat_options(options), "samples": found})
        return
    say(f"{model}, {opened.stage}, writes:")
    first = True
    for writer in writers:
        for item in writer:
            # What stands between two items, such as an empty line, and not a line feed after each.
            show(
                (writer.result.between.removeprefix("\n") if not first else "")
                + harmless(item.text)
            )
            first = False
        say_sentences(writer.result.notes(wishes))
