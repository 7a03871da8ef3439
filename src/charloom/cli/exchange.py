"""The commands that take models to other frameworks and back: export, import."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charloom.cli.models import identity
from charloom.cli.options import AModel, Json, Which, takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.errors import ConfigError
from charloom.messages import Placeholder, terminal_command

if TYPE_CHECKING:
    from charloom.model import Learner

Force = Annotated[bool, typer.Option("--force", help="write over a file that exists")]


def export(
    model: AModel,
    to: Annotated[str, typer.Option(metavar="[torch]", help="the framework")] = "torch",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="the file to write [default: NAME.torch.safetensors]"),
    ] = None,
    which: Which = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a model as a PyTorch state_dict, and print the Python that loads it.

    The file is safetensors with the names of nn.RNN, nn.LSTM or nn.GRU and nn.Linear.

    \b
    Example:
      charloom export runs/book --to torch --output book.torch.safetensors
    """
    from charloom import api
    from charloom.api.texts import as_file
    from charloom.exchange import loading_lines

    opened = api.load(model, which=which, engine="reference")  # type: ignore[arg-type]
    name = model.resolve().name.removesuffix(".safetensors")
    path = as_file(output or f"{name}.torch.safetensors")
    if path.resolve() == model.resolve():
        raise ConfigError(f"{path} is the model itself; name another --output.")
    require_new(path, force)
    opened.export(path, to)
    lines = loading_lines(opened.learner, str(path))
    if as_json:
        about = {**identity(model, opened), **figures(opened.learner)}
        show_json({"file": str(path), **about, "load": lines})
    else:
        made = f"{described(opened.learner)}, made of {model}, {opened.stage}"
        say(f"{path}: {made}; this loads it:")
        show(lines.rstrip("\n"))


@takes_settings("tokens", tokens="as the file says, else characters")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A safetensors file with a state_dict.")
    ],
    output: Annotated[Path, typer.Option(metavar="MODEL", help="the model file to write")],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="the text that it was trained on, or a .json file with its characters in the "
            "order of their ids, where FILE does not tell",
        ),
    ] = None,
    recurrent: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="which recurrent part is meant, where there are several"),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="which nn.Linear makes the logits, likewise"),
    ] = None,
    force: Force = False,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Make a model of a PyTorch state_dict.

    FILE comes from export, or holds any network of nn.RNN, nn.LSTM or nn.GRU with
    nn.Linear on top; before it, one-hot characters or nn.Embedding.

    \b
    Example:
      charloom import lstm.safetensors --vocabulary book.txt --output book.safetensors
    """
    from charloom import api
    from charloom.api.texts import as_file

    tokens = (settings or {}).get("tokens")
    model = api.import_model(
        file,
        vocabulary=vocabulary,
        tokens=tokens,
        recurrent=recurrent,
        head=head,
        engine="reference",
    )
    path = as_file(output)
    if path.resolve() == file.resolve():
        raise ConfigError(f"{path} is the file that is read; name another --output.")
    require_new(path, force)
    model.save(path)
    recipe = model.config.recipe
    if as_json:
        show_json({"model": str(path), **figures(model.learner), "recipe": recipe})
    else:
        show(f"{path}: {described(model.learner)}")
        train = terminal_command("train", Placeholder("TEXT"), from_model=path)
        say(
            f"to train it further: {train}. It keeps its own settings, which began as the recipe "
            f"{recipe}; --recipe names others."
        )


import_.__name__ = "import"  # the command's name, which Python keeps for itself


def require_new(path: Path, force: bool) -> None:
    """Refuse to write over a file, unless that was asked for."""
    if path.exists() and not force:
        raise ConfigError(
            f"{path} exists; name another --output, or give --force to write over it."
        )


def figures(learner: "Learner") -> dict[str, Any]:
    """What kind of network it is, for programs."""
    config = learner.config
    return {
        "cell": config.cell,
        "layers": config.layers,
        "hidden_size": config.hidden_size,
        "vocabulary_size": len(learner.vocabulary),
        "tokens": config.tokens,
        "dtype": config.dtype,
    }


def described(learner: "Learner") -> str:
    """What kind of network it is, for people."""
    config = learner.config
    return (
        f"{config.cell}, {config.layers} × {config.hidden_size} hidden units, "
        f"{len(learner.vocabulary)} {config.tokens}, {config.dtype}"
    )
