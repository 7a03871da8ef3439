"""Options that commands share. Those that are settings derive from `Config` and nothing else.

Their names, types, help and shown defaults are those of the config's fields: a setting that the
config gains is an option wherever settings are taken.
"""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from charloom.config import CHOICES as SETTING_CHOICES
from charloom.config import Config, help_of
from charloom.recipes import CLASSIC, RECIPES

KINDS: Final = get_type_hints(Config)
SETTINGS: Final = tuple(field.name for field in dataclasses.fields(Config))
CHOICES: Final = {"recipe": tuple(RECIPES), **SETTING_CHOICES}

# Under which heading of the help each setting stands.
PANELS: Final = {
    "Network": "cell hidden_size layers dropout init sigma forget_bias",
    "Training": "recipe seq_length batch_size epochs updates optimizer learning_rate momentum decay "
    "beta1 beta2 epsilon weight_decay schedule warmup step_after step_factor step_every cosine_end "
    "clip clip_by reduction",
    "Text": "tokens unknown replacement",
    "Judging": "validation test split judge_every judged_characters patience",
    "Machine": "seed dtype engine threads",
    "Records": "report_every smoothing sample_first sample_every sample_until sample_length "
    "passage_length save_seconds",
}
PANEL_OF: Final = {name: panel for panel, names in PANELS.items() for name in names.split()}

Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        help="Files, directories, quoted patterns such as '**/*.txt', - for standard input: "
        "read one after another; or a built-in text.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
NewRun = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="the run directory to make [default: runs/TEXT-N]"),
]
AModel = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A run, a checkpoint directory or a model file."),
]
Which = Annotated[
    str | None,
    typer.Option(
        metavar="[latest|best]",
        help="of a run, the last checkpoint or the best one [default: the best of a run with a "
        "validation part, the last of one without]",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        help="train about this long, instead of --epochs or --updates",
        rich_help_panel="Training",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]

Command = Callable[..., None]


class Grouped(TyperCommand):
    """A command whose options stand under headings in its help, its own ones first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        groups |= {panel: [] for panel in PANELS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                own = "Arguments" if parameter.param_type_name == "argument" else "Options"
                panel = getattr(parameter, "rich_help_panel", None)
                groups[panel or own].append(record)
        for heading, records in groups.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def takes_settings(
    *names: str, recipe: str = CLASSIC, **shown: str
) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings.

    The command must have a parameter `settings`: a dict of those that were given.

    Args:
        names: fields of `Config`.
        recipe: whose values the help shows as defaults.
        shown: what the help says instead.
    """
    values = dict(RECIPES[recipe].config.to_dict())
    if RECIPES[recipe].minutes is not None:
        values["epochs"] = None  # minutes say when it ends

    def decorate(command: Command) -> Command:
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
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
    """The option of one setting; its default None means: as the recipe, or the command, has it."""
    kind = KINDS[name]
    plain = next((part for part in get_args(kind) if part is not NoneType), kind)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=help_of(name) + ("" if shown in (None, "") else f" [default: {shown}]"),
        metavar=f"[{'|'.join(CHOICES[name])}]" if name in CHOICES else None,
        rich_help_panel=PANEL_OF[name],
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, option],
    )
