"""Responses about the server: its state, its recipes, the settings of the form and its limits."""

from typing import Any, Literal

from charloom.web.schemas.common import ResponseBody


class Health(ResponseBody):
    """The state of the server.

    `writing` is the number of requests that models are processing, and `waiting` is the number of requests
    in the queue.
    """

    ok: bool
    version: str
    writing: int
    waiting: int


class RecipeAbout(ResponseBody):
    """A recipe with all its settings.

    Attributes:
        minutes: how many minutes a run with this recipe trains; None if a number of epochs or updates ends
            the run.
        nats: the loss that a run with this recipe reached in a test, in nats per character; None if not
            measured.
    """

    name: str
    purpose: str
    cost: str
    minutes: float | None
    nats: float | None
    settings: dict[str, Any]


class SettingAbout(ResponseBody):
    """A setting that the page can change.

    Attributes:
        help: a sentence that says what the setting means.
        kind: `choice`, `whole` (an integer), `number`, `yes_no` (true or false), or `character`.
        least, most: the smallest and the largest allowed value of a number; otherwise None.
        of_network: whether a run that starts from a model cannot change this setting of the model.
        needs_model: whether the setting has a meaning only for a run that starts from a model.
    """

    name: str
    help: str
    kind: Literal["choice", "whole", "number", "yes_no", "character"]
    choices: list[str] | None = None
    least: float | None = None
    most: float | None = None
    of_network: bool
    needs_model: bool


class About(ResponseBody):
    """What the page requests first: version, engine, recipes, settings of the form and limits."""

    version: str
    engine: str
    folder: str
    default_recipe: str
    recipes: list[RecipeAbout]
    settings: list[SettingAbout]
    limits: dict[str, int]
