"""The command `fixed-points`, which finds states that a model does not change while its input is constant."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli import model_options
from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    require_one_text,
    say_reading_problem,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, say_sentences, show, show_json
from charloom.cli.work_counter import counting_line
from charloom.formatting import counted

if TYPE_CHECKING:
    from charloom.api import FixedPoints


@takes_settings("engine", "unknown", "replacement")
def fixed_points(
    settings: dict[str, Any],
    model: AModel,
    text: model_options.SearchedText = None,
    string: model_options.TextItself = None,
    split: model_options.Split = None,
    character: model_options.ConstantCharacter = None,
    starts: model_options.FirstStates = 64,
    png: model_options.SpectrumPlot = None,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Find states that a model does not change while its input is constant.

    The search begins at states that the model visits in the text. For each point,
    list from how many of them it was found, whether it is stable, the largest
    modulus of an eigenvalue of the Jacobian, how many eigenvalues are outside the
    unit circle, the distance to the nearest visited state, and the residual.

    \b
    Example:
      charloom fixed-points runs/book
      charloom fixed-points runs/book --character e --png eigenvalues.png
    """
    from charloom.api import TextChoice
    from charloom.api.fixed_point_search import VISITED, points_of
    from charloom.api.unit_search import open_search_text
    from charloom.config import require_whole

    require_one_text(bool(text), string)
    require_whole("starts", starts, least=1)
    if png is not None:
        from charloom.report.plot_files import require_image

        require_image(png)
    opened = open_model(model, which, settings)
    explain_terminal_input(text or [])
    policy = policy_of(settings) if "unknown" in settings else None
    found = open_search_text(opened, TextChoice(text or None, string, split, policy), VISITED)
    say_sentences(found.notes)
    say_reading_problem(opened)
    with counting_line("searches") as report:
        points = points_of(opened, character, found, starts, report)
    if png is not None:
        draw(points, png)
    if as_json:
        show_json({**model_identity(model, opened), **points.to_json(), "notes": list(found.notes)})
        return
    show(f"model:      {model}, {opened.stage}")
    for line in points.lines():
        show(line)
    if points.unfinished:
        say(points.unfinished_sentence)


def draw(points: "FixedPoints", path: Path) -> None:
    """Write a plot of the eigenvalues to the file `path`, and print a message about it."""
    from charloom.report.plot_files import save_figure
    from charloom.report.spectrum_plot import spectrum_figure

    save_figure(spectrum_figure(points.eigenvalues, points.kinds), path)
    say(f"wrote {path}: the eigenvalues of {counted(len(points), 'fixed point')}.")
