"""The output of `neurons --ablate`: what each hidden unit of a model is worth, as a table, JSON or a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    say_reading_problem,
)
from charloom.cli.terminal import (
    explain_terminal_input,
    say,
    say_sentences,
    show,
    show_json,
)
from charloom.cli.unit_request import UnitRequest
from charloom.cli.work_counter import counting_line
from charloom.formatting import count

if TYPE_CHECKING:
    from charloom.api import UnitAblation


def show_ablation(
    request: UnitRequest, held: str, characters: int | None, settings: dict[str, Any]
) -> None:
    """Hold one unit after another, and print the costs.

    Args:
        request: the model, the text and the units.
        held: "zero" or "mean".
        characters: largest number of characters to predict; None for the default.
        settings: the settings that the user gave.
    """
    from charloom.api.unit_ablation import CHARACTERS, HELD, SHOWN_UNITS, held_notes, unit_costs
    from charloom.api.unit_search import open_search_text
    from charloom.config import require_one_of, require_whole
    from charloom.hidden_units import choose

    require_one_of("ablate", held, HELD)
    characters = CHARACTERS if characters is None else characters
    characters = require_whole("characters", characters, least=1)
    top = require_whole("top", SHOWN_UNITS if request.top is None else request.top, least=1)
    if request.picture is not None:
        from charloom.report.plot_files import require_image

        require_image(request.picture)
    model = open_model(request.path, request.which, settings)
    choice = choose(model.learner, request.layer, request.unit, "h")
    explain_terminal_input(request.text)
    policy = policy_of(settings) if "unknown" in settings else None
    found = open_search_text(model, request.text_choice(policy))
    notes = [*found.notes, *held_notes(model, choice)]
    say_sentences(notes)
    say_reading_problem(model)
    with counting_line("units") as report:
        result = unit_costs(model, found.part, choice, held, characters, report=report)
    if request.picture is not None:
        draw(result, request.picture)
    if request.as_json:
        fields = {**result.to_json(), "notes": notes}
        show_json({**model_identity(request.path, model), **fields})
        return
    show(f"model:      {request.path}, {model.stage}")
    show_costs(result, model.config.tokens, top)


def show_costs(result: "UnitAblation", tokens: str, top: int) -> None:
    """Print the `top` units with the highest costs. `tokens` is what the model reads: characters or bytes."""
    from charloom.evaluation import why_no_interval

    for line in result.lines(top, tokens):
        show(line)
    say_sentences(filter(None, [why_no_interval(result.characters, tokens)]))
    left = len(result.costs) - top
    if left > 0:
        say(
            f"{count(left)} units with lower costs are not shown; --top {len(result.costs)} shows all."
        )


def draw(result: "UnitAblation", path: Path) -> None:
    """Write a plot of the costs to the file `path`, and print a message about it."""
    from charloom.report.ablation_plot import ablation_figure
    from charloom.report.plot_files import save_figure

    save_figure(ablation_figure(result.costs, result.held), path)
    say(f"wrote {path}: the costs of {count(len(result.costs))} units.")
