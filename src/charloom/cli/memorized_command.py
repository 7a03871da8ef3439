"""The command `memorized`, which measures how much of what a model writes is copied from its training text."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli import model_options
from charloom.cli.model_commands import (
    model_identity,
    open_model,
    say_reading_problem,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, say_sentences, show, show_json
from charloom.cli.waiting import waiting_line

if TYPE_CHECKING:
    from charloom.api import Memorization


@takes_settings("seed", "engine")
def memorized(
    settings: dict[str, Any],
    model: AModel,
    text: model_options.SearchedForCopies = None,
    samples: model_options.Samples = 20,
    length: model_options.Length = 1_000,
    temperature: model_options.Temperature = 1.0,
    top_k: model_options.TopK = 0,
    top_p: model_options.TopP = 1.0,
    min_p: model_options.MinP = 0.0,
    picture: model_options.CopiesPicture = None,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Measure how much of what a model writes is copied from its training text.

    The model writes some texts. For each length, the table shows which share of
    their stretches of this length the training text contains, and the same for the
    validation part, which the model did not learn from. A model that copies has a
    higher share than the validation part.

    \b
    Example:
      charloom memorized runs/book
      charloom memorized runs/book --temperature 0.5 --picture copies.svg
    """
    from charloom.api.memorization import memorization_of, searched_parts
    from charloom.config import require_whole
    from charloom.engines import Sampler
    from charloom.sampling import SampleOptions

    sampler = Sampler(temperature, top_k, top_p, min_p)
    options = SampleOptions(length, settings.get("seed", 0), sampler)
    require_whole("samples", samples, least=1)
    if picture is not None:
        from charloom.report.plot_files import require_image

        require_image(picture)
    opened = open_model(model, which, settings)
    explain_terminal_input(text or [])
    parts = searched_parts(opened, text or None)
    say_sentences(parts[0].corpus.notes)
    say_reading_problem(opened)
    with waiting_line("searching what the model writes"):
        found = memorization_of(opened, parts, options, samples)
    if picture is not None:
        draw(found, picture)
    if as_json:
        show_json({**model_identity(model, opened), **found.to_json()})
        return
    show(f"model:      {model}, {opened.stage}")
    for line in found.lines():
        show(line)


def draw(found: "Memorization", path: Path) -> None:
    """Write a plot of the shares to the file `path`, and print a message about it."""
    from charloom.report.plot_files import save_figure
    from charloom.report.verbatim_plot import verbatim_figure

    lines = [("what the model writes", found.written.shares)]
    if found.held_out is not None:
        lines.append(("held-out text", found.held_out.shares))
    save_figure(verbatim_figure(lines, found.tokens), path)
    say(f"wrote {path}.")
