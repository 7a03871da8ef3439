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

from charloom.config import CELLS, DTYPES, ENGINES, Config, default_of, help_of
from charloom.recipes import RECIPES

SETTINGS: Final = tuple(field.name for field in dataclasses.fields(Config))
CHOICES: Final = {"recipe": tuple(RECIPES), "cell": CELLS, "engine": ENGINES, "dtype": DTYPES}

Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Files, read one after another; or a built-in text."),
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
    str,
    typer.Option(
        metavar="[latest|best]",
        help="of a run, the last checkpoint or the one with the lowest smooth loss",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(help="train about this long, instead of --epochs or --updates"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for programs")]

Command = Callable[..., None]


def takes_settings(*names: str, **shown: str) -> Callable[[Command], Command]:
    """Give a command an option for each of these settings.

    The command must have a parameter `settings`: a dict of those that were given.

    Args:
        names: fields of `Config`.
        shown: what the help says where the default is not the config's.
    """

    def decorate(command: Command) -> Command:
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in names}
            settings = {name: value for name, value in given.items() if value is not None}
            command(**values, settings=settings)

        own = inspect.signature(command).parameters.values()
        kept = [parameter for parameter in own if parameter.name != "settings"]
        options = [setting_option(name, shown.get(name)) for name in names]
        signature = inspect.Signature([*kept, *options])
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__module__ = command.__module__
        run.__signature__ = signature  # type: ignore[attr-defined]
        run.__annotations__ = {
            parameter.name: parameter.annotation for parameter in signature.parameters.values()
        }
        return run

    return decorate


def setting_option(name: str, shown: str | None = None) -> inspect.Parameter:
    """The option of one setting; its default None means: as the recipe, or the command, has it."""
    kind = get_type_hints(Config)[name]
    plain = next((part for part in get_args(kind) if part is not NoneType), kind)
    default = shown or default_of(name)
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=help_of(name) + ("" if default is None else f" [default: {default}]"),
        metavar=f"[{'|'.join(CHOICES[name])}]" if name in CHOICES else None,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, option],
    )
