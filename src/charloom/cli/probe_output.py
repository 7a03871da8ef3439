"""The output of `neurons --probe`: how well a linear function of a model's states tells properties of a text."""

from typing import TYPE_CHECKING, Any

from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    say_reading_problem,
)
from charloom.cli.terminal import explain_terminal_input, say_sentences, show, show_json
from charloom.cli.unit_request import UnitRequest
from charloom.formatting import count

if TYPE_CHECKING:
    from charloom.api import Probe


def show_probe(
    request: UnitRequest, names: list[str], what: str | None, limit: int, settings: dict[str, Any]
) -> None:
    """Fit a linear function to each property, and print how well it does on other text.

    Args:
        request: the model, the text and the layer.
        names: names of built-in properties.
        what: the value of each unit; None for h.
        limit: largest number of characters to read.
        settings: the settings that the user gave.
    """
    from charloom.api.linear_probe import characters_to_read, probe_scores
    from charloom.api.unit_search import open_search_text, requested_properties
    from charloom.hidden_units import choose

    properties = requested_properties(names, option="probe")
    model = open_model(request.path, request.which, settings)
    choice = choose(model.learner, request.layer, None, what or "h")
    explain_terminal_input(request.text)
    policy = policy_of(settings) if "unknown" in settings else None
    wanted = request.text_choice(policy)
    found = open_search_text(model, wanted, characters_to_read(choice, limit))
    say_sentences(found.notes)
    say_reading_problem(model)
    result = probe_scores(model, found, properties, choice)
    if request.as_json:
        fields = {**result.to_json(), "notes": list(found.notes)}
        show_json({**model_identity(request.path, model), **fields})
        return
    show(f"model:      {request.path}, {model.stage}")
    show_scores(result, model.config.tokens)


def show_scores(result: "Probe", tokens: str) -> None:
    """Print the score of each property. `tokens` is what the model reads: characters or bytes."""
    from charloom.api.linear_probe import PROBE_HEADINGS
    from charloom.evaluation import why_no_interval

    first = result.scores[0]
    show(
        f"text:       {result.text}, {result.split}: fitted to {count(first.fitted)} {tokens}, judged on "
        f"the next {count(first.judged)}"
    )
    show()
    for row in (PROBE_HEADINGS, *(score.cells() for score in result.scores)):
        name, measure, score, without, interval = row
        show(f"{name:<20}{measure:<10}{score:>7}{without:>9}   {interval}".rstrip())
    say_sentences(filter(None, [why_no_interval(first.judged, tokens)]))
    say_sentences(result.left_out.values())
