"""Makes the options for the settings of a run: each has the name, type and help of a field of `Config`.

A new field of `Config` becomes an option of each command that takes all settings.
"""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final, get_type_hints

import typer
from typer.core import TyperCommand

from charloom.cli.completion import one_of_choices
from charloom.cli.escapes import unescaped
from charloom.config import CHOICES as SETTING_CHOICES
from charloom.config import Config, help_of
from charloom.recipes import CLASSIC, RECIPES

KINDS: Final = get_type_hints(Config)
SETTINGS: Final = tuple(field.name for field in dataclasses.fields(Config))
CHOICES: Final = {"recipe": tuple(RECIPES), **SETTING_CHOICES}

# The settings under each heading of the help.
PANELS: Final = {
    "Network": "cell hidden_size layers ngram_order input_pairs dropout init sigma forget_bias",
    "Training": "recipe seq_length batch_size order chunks epochs updates optimizer learning_rate momentum decay "
    "beta1 beta2 epsilon weight_decay weight_decay_on schedule warmup warmup_epochs step_after "
    "step_after_updates step_factor step_every step_every_updates cosine_end averaging clip clip_by reduction",
    "Text": "tokens unknown replacement items separator field",
    "Evaluation": "validation test split judge_every judged_characters patience",
    "Machine": "seed dtype compute_dtype engine device threads",
    "Records": "report_every smoothing sample_first sample_every sample_until sample_length "
    "passage_length save_seconds save_every keep_saved",
}
PANEL_OF: Final = {name: panel for panel, names in PANELS.items() for name in names.split()}

# Other names of options, for users who know a setting under them.
OTHER_NAMES: Final = {"field": ("--column",)}

Command = Callable[..., None]


class CommandWithHeadings(TyperCommand):
    """A command whose help lists its options under headings.

    The options that are not settings come first, under the heading Options.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        groups |= {panel: [] for panel in PANELS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                own = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panel = getattr(parameter, "rich_help_panel", None)
                groups.setdefault(panel or own, []).append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def takes_settings(
    *names: str, recipe: str = CLASSIC, **shown: str
) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each setting in `names`.

    The command must have a parameter `settings`, to which the decorator passes a dict of the settings
    that the user gave.

    Args:
        names: names of fields of `Config`.
        recipe: name of the recipe whose values the help shows as defaults.
        shown: for a setting, the default that the help shows instead of the recipe's value.
    """
    values = dict(RECIPES[recipe].config.to_dict())
    if RECIPES[recipe].minutes is not None:
        values["epochs"] = None  # the recipe trains for a number of minutes, not of epochs

    def decorate(command: Command) -> Command:
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            if given.get("separator"):
                given["separator"] = unescaped(given["separator"])
            settings = {name: value for name, value in given.items() if value is not None}
            command(**values, settings=settings)

        own = inspect.signature(command).parameters.values()
        kept = [parameter for parameter in own if parameter.name != "settings"]
        options = [setting_option(name, shown.get(name, values[name])) for name in names]
        signature = inspect.Signature([*kept, *options])
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__module__ = command.__module__
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {
            parameter.name: parameter.annotation for parameter in signature.parameters.values()
        }
        return run

    return decorate


def setting_option(name: str, shown: Any) -> inspect.Parameter:
    """Return a keyword parameter that defines the option for the setting `name`.

    The value of the parameter is None if the user does not give the option. `shown` is the default that
    the help shows.
    """
    option = typer.Option(
        *OTHER_NAMES.get(name, ()),
        f"--{name.replace('_', '-')}",
        help=help_of(name) + ("" if shown in (None, "") else f" [default: {shown}]"),
        metavar=f"[{'|'.join(CHOICES[name])}]" if name in CHOICES else None,
        autocompletion=one_of_choices(CHOICES[name]) if name in CHOICES else None,
        rich_help_panel=PANEL_OF[name],
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[KINDS[name] | None, option],
    )
