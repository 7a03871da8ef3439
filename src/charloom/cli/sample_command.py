"""The command `sample`, which writes texts with a trained model."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli import model_options
from charloom.cli.escapes import unescaped
from charloom.cli.grid_output import (
    axes_of,
    require_no_other_values,
    show_grid,
    show_grid_json,
    write_table,
)
from charloom.cli.model_commands import (
    flat_options,
    model_identity,
    open_model,
    policy_of,
    read_text,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.config import STDIN
from charloom.errors import ConfigError
from charloom.formatting import harmless

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.sampling import SampleOptions, Writing
    from charloom.sampling_grid import GridAxes


@takes_settings("seed", "engine", "unknown", "replacement")
def sample(
    settings: dict[str, Any],
    model: AModel,
    prompt: model_options.Prompt = "",
    prompt_file: model_options.PromptFile = None,
    prompts: model_options.Prompts = None,
    length: model_options.Length = 200,
    temperature: model_options.Temperature = 1.0,
    top_k: model_options.TopK = 0,
    top_p: model_options.TopP = 1.0,
    min_p: model_options.MinP = 0.0,
    repetition_penalty: model_options.RepetitionPenalty = 1.0,
    repetition_window: model_options.RepetitionWindow = 64,
    stop: model_options.Stop = None,
    start: model_options.Start = None,
    samples: model_options.Samples = 1,
    max_length: model_options.MaxLength = None,
    new: model_options.New = False,
    distinct: model_options.Distinct = False,
    matching: model_options.Matching = None,
    check: model_options.ItemCheck = None,
    grid: model_options.Grid = False,
    temperatures: model_options.Temperatures = None,
    top_ps: model_options.TopPs = None,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Write text with a model.

    The same --seed gives the same text on machines of the same kind. --grid writes
    a table of texts by temperature (rows) and top-p (columns). With --stop, several
    texts are printed one below the other, without headings. A model of items ends
    each item itself.

    \b
    Example:
      charloom sample runs/book --prompt "It was " --length 500 --temperature 0.8
      charloom sample runs/book -n 20 --stop "\\n"
      charloom sample runs/names -n 20 --new --distinct
      charloom sample runs/book --grid --temperatures 0.5,1 --top-ps 0.9,1
    """
    from charloom.cli.item_output import item_wishes, show_items
    from charloom.config import require_whole
    from charloom.engines import Sampler
    from charloom.model import DEFAULT_START, require_start
    from charloom.sampling import SampleOptions

    require_whole("samples", samples, least=1)
    sampler = Sampler(temperature, top_k, top_p, min_p, repetition_penalty, repetition_window)
    axes = axes_of(grid, temperatures, top_ps)
    if axes is not None:
        require_no_other_values(sampler, samples)
    beginnings = prompt_texts(prompt, prompt_file, prompts)
    if axes is not None and len(beginnings) > 1:
        raise ConfigError(
            "--grid writes a table for one prompt; give --prompt instead of --prompts."
        )
    policy, seed = policy_of(settings), settings.get("seed", 0)
    stops, begin = list(map(unescaped, stop or [])), require_start(start or DEFAULT_START)
    options = SampleOptions(length, seed, sampler, stops, policy, begin)
    wishes = item_wishes(max_length, new, distinct, matching, check)
    opened = open_model(model, which, settings)
    if opened.vocabulary.boundary is not None and axes is None:
        show_items(model, opened, beginnings, options, samples, wishes, as_json)
        return
    wishes.require_none(
        "which --grid does not do"
        if axes is not None
        else "but the model learned a stream; train one with train --items"
    )
    options = with_possible_start(opened, options, asked=start is not None)
    if axes is not None:
        write_as_table(model, opened, beginnings[0], options, axes, as_json)
    else:
        write_samples(model, opened, beginnings, options, samples, as_json)


def with_possible_start(opened: "Model", options: "SampleOptions", asked: bool) -> "SampleOptions":
    """Return the options with the start "zero" if the model has no state from its training text.

    `asked` is True if the user gave a start; a message then says that it is not possible.
    """
    from charloom.model import stored_state

    if options.start != "text" or stored_state(opened.learner) is not None:
        return options
    if asked:
        say("the model has no state from its training text, so a text begins in the zero state.")
    return dataclasses.replace(options, start="zero")


def write_samples(
    model: Path,
    opened: "Model",
    prompts: Sequence[str],
    options: "SampleOptions",
    samples: int,
    as_json: bool,
) -> None:
    """Write and print `samples` texts after each prompt. `model` is the path of the model `opened`."""
    from charloom.sampling import Writing

    write = partial(Writing, opened.learner, opened.engine)
    for prompt in prompts:  # a prompt that is not valid raises an error before anything is printed
        unknowns = opened.vocabulary.encode_with(prompt, options.policy).unknown
        if unknowns.total:
            say(f"{unknowns.sentence} in the prompt.")
    problem = opened.start_problem(options.start, prompts[0])
    if problem is not None:
        say(problem)
    texts = (
        (prompt, number, write(prompt, options, number=number))
        for prompt in prompts
        for number in range(samples)
    )
    if as_json:
        show_json(
            {
                **model_identity(model, opened),
                "prompt": prompts[0] if len(prompts) == 1 else None,
                **flat_options(options),
                "samples": [written_text(*text) for text in texts],
            }
        )
        return
    say(f"{model}, {opened.stage}, writes:")
    count = len(prompts) * samples
    for place, (prompt, _, writing) in enumerate(texts, start=1):
        if count > 1 and not options.stop:
            show(f"--- {place} of {count}")
        print_while_written(prompt, writing)


def written_text(prompt: str, number: int, writing: "Writing") -> dict[str, Any]:
    """Write a text to its end, and return it as plain data for JSON."""
    import numpy as np

    pieces = list(iter(writing.step, None))
    nats = writing.nats_of(np.concatenate([piece.ids for piece in pieces]))
    return {
        "prompt": prompt,
        "number": number,
        "text": "".join(piece.text for piece in pieces),
        "ended": writing.ended,
        "nats": nats,
        "probability": math.exp(-nats),
    }


def write_as_table(
    model: Path,
    opened: "Model",
    prompt: str,
    options: "SampleOptions",
    axes: "GridAxes",
    as_json: bool,
) -> None:
    """Write and print a table of texts. `model` is the path of the model `opened`."""
    grid = write_table(opened, prompt, options, axes)
    if grid.unknowns.total:
        say(f"{grid.unknowns.sentence} in the prompt.")
    problem = opened.start_problem(options.start, prompt)
    if problem is not None:
        say(problem)
    if as_json:
        show_grid_json(grid, model_identity(model, opened), flat_options(options))
    else:
        show_grid(grid, model, opened.stage)


def print_while_written(prompt: str, pieces: Iterable[str]) -> None:
    """Print the prompt, and each piece of text as soon as the model has written it.

    Then print a line feed, even after an error or Ctrl-C.
    """
    spell = harmless if sys.stdout.isatty() else str
    try:
        for piece in chain([prompt], pieces):
            sys.stdout.write(spell(piece))
            sys.stdout.flush()
    finally:
        sys.stdout.write("\n")
        sys.stdout.flush()


def prompt_texts(prompt: str, file: Path | None, lines: Path | None) -> list[str]:
    """Return the prompts.

    Args:
        prompt: the option --prompt; "-" reads standard input.
        file: the option --prompt-file, a file with one prompt; None if it was not given.
        lines: the option --prompts, a file with a prompt in each line; None if it was not given.

    Raises:
        ConfigError: more than one of the options was given, or a file has no prompt.
        EncodingError: the file or standard input is not UTF-8.
        TextError: the file or standard input cannot be read.
    """
    given = {"--prompt": prompt, "--prompt-file": file, "--prompts": lines}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} give prompts; give only one of them.")
    if lines is not None:
        found = [line for line in read_text(str(lines)).splitlines() if line]
        if not found:
            raise ConfigError(f"{lines} has no prompt; write one in each line.")
        return found
    if file is not None:
        return [read_text(str(file))]
    return [read_text(STDIN) if prompt == STDIN else prompt]
