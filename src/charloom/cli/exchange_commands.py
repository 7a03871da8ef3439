"""The commands `export`, `push` and `import`, which convert models for other programs, and back from PyTorch."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli import model_options
from charloom.cli.model_commands import model_identity
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, show, show_json
from charloom.errors import ConfigError
from charloom.formatting import counted, megabytes, one_of
from charloom.messages import Placeholder, terminal_command

if TYPE_CHECKING:
    from charloom.api.export_file import Target
    from charloom.api.weight_rounding import RoundedWeights
    from charloom.model import Learner


def export(
    model: AModel,
    to: model_options.Target = "torch",
    output: model_options.ExportedPath = None,
    network_alone: model_options.NetworkAlone = False,
    about: model_options.AboutText = None,
    license: model_options.License = None,
    weights: model_options.ExportedWeights = "auto",
    optimizer: model_options.OptimizerState = False,
    which: Which = None,
    force: model_options.Force = False,
    as_json: Json = False,
) -> None:
    """Write a model for PyTorch, ONNX, a hub or a browser.

    For PyTorch, the file is a state_dict in the safetensors format. Its arrays have
    the names of the parameters of nn.RNN, nn.LSTM or nn.GRU, and of nn.Linear. For
    ONNX, the file has the whole network in float32, and onnxruntime runs it. For these
    two, a model with n-grams needs --network-alone. For a hub such as Hugging Face,
    a directory has the model file, a config.json and a README.md, the model card. For
    these three, Python code that loads the model is printed.

    For a browser (html), the file is one page with the whole model in it, which writes
    text without a network.

    \b
    Example:
      charloom export runs/book --to torch --output book.torch.safetensors
      charloom export runs/adam --to torch --optimizer
      charloom export runs/book --to onnx --output book.onnx
      charloom export runs/book --to hub --output book-model --license mit
      charloom export runs/book --to html --output book.html
    """
    from charloom import api
    from charloom.api.export_file import ExportOptions, output_path, refuse_own_model, target_of
    from charloom.pytorch_optimizer import optimizer_lines, optimizer_path

    options = ExportOptions(network_alone, about, license, weights, optimizer)
    target = target_of(to, options)
    opened = api.load(model, which=which, engine="auto")  # type: ignore[arg-type]
    name = model.resolve().name.removesuffix(".safetensors")
    path = output_path(output or f"{name}{target.suffix}", target)
    refuse_own_model(path, model)
    require_new(path, force)
    if optimizer:
        require_new(optimizer_path(path), force)
    export = opened.prepared_export(path, options)
    rounded, exported = target.write(export), export.learner
    if (problem := opened.export_problem(exported, target)) is not None:
        say(problem)
    origin = f"{described(exported)}, from {model}, {opened.stage}"
    origin += export_differences(opened.learner, exported, target)
    sizes = figures(exported) | ({"dtype": "float32"} if target.rounds else {})
    facts = {"file": str(path), **model_identity(model, opened), **sizes}
    if rounded is not None:
        show_file_size(path, origin, facts, rounded, as_json)
    elif target.loading_lines is not None:
        lines = target.loading_lines(exported, str(path))
        if optimizer:
            lines += optimizer_lines(exported, str(optimizer_path(path)))
            facts["optimizer"] = str(optimizer_path(path))
        if as_json:
            show_json({**facts, "load": lines})
        else:
            say(f"{path}: {origin}. This code loads it:")
            show(lines.rstrip("\n"))


def show_file_size(
    path: Path, origin: str, facts: dict[str, Any], rounded: "RoundedWeights", as_json: bool
) -> None:
    """Print the size of an exported file and the type of its weights, as text or as JSON.

    Args:
        path: the file.
        origin: the model in the file, in words.
        facts: other fields of the JSON.
        rounded: how the weights were rounded.
        as_json: True for JSON.
    """
    size, change = path.stat().st_size, rounded.change
    if as_json:
        own = {"bytes": size, "weights": rounded.weights, "float16_loss_change_bits": change}
        show_json({**facts, **own})
        return
    say(f"{path}: {origin}")
    sentence = f"{path}: {megabytes(size)}, weights in {rounded.weights}"
    if change is not None:
        sentence += f"; float16 changes the loss by {change_in_bits(change)} bits per character"
    show(sentence)


def change_in_bits(change: float) -> str:
    """Return a change of the loss with its sign and five decimal places, or "less than 0.00001"."""
    return "less than 0.00001" if abs(change) < 0.00001 else f"{change:+.5f}"


def export_differences(learner: "Learner", exported: "Learner", target: "Target") -> str:
    """Return in words how an exported model differs from `learner`, and what it shows of its text; "" for nothing."""
    words = ""
    if learner.ngrams and not exported.ngrams:
        words += (
            ", without its n-grams. So the loss is far higher; evaluate --separately shows how much"
        )
    if target.rounds and "weights" not in target.options and exported.config.dtype != "float32":
        words += ". The file has its weights in float32"
    if exported.ngrams:
        order = counted(exported.config.ngram_order, one_of(exported.config.tokens))
        words += f". Its n-grams show which strings of up to {order} its training text contains"
    return words


def push(
    directory: model_options.ModelDirectory,
    repository: model_options.Repository,
    public: model_options.Public = False,
    as_json: Json = False,
) -> None:
    """Upload a directory of export --to hub to Hugging Face, and print its address.

    The repository is created if it does not exist. This is the only command that
    connects to another machine. It needs the extra hub, and a token: log in with
    hf auth login, or set HF_TOKEN.

    \b
    Example:
      charloom push book-model ada/book
    """
    from charloom import api

    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    pushed = api.push(directory, repository, public=public)
    if as_json:
        show_json(dataclasses.asdict(pushed))
    else:
        show(pushed.url)


@takes_settings("tokens", tokens="the file's, else characters")
def import_(
    settings: dict[str, Any],
    file: model_options.ImportedFile,
    output: model_options.ModelFile,
    vocabulary: model_options.VocabularyOf = None,
    recurrent: model_options.RecurrentModule = None,
    head: model_options.HeadModule = None,
    force: model_options.Force = False,
    as_json: Json = False,
) -> None:
    """Convert a PyTorch state_dict to a model.

    FILE was written by charloom export, or holds any network of an nn.RNN, nn.LSTM
    or nn.GRU followed by an nn.Linear. The input of the recurrent module is one-hot
    characters or an nn.Embedding.

    \b
    Example:
      charloom import lstm.safetensors --vocabulary book.txt --output book.safetensors
    """
    from charloom import api
    from charloom.api.text_arguments import as_file

    explain_terminal_input([vocabulary or ""])
    model = api.import_model(
        file,
        vocabulary=vocabulary,
        tokens=settings.get("tokens"),
        recurrent=recurrent,
        head=head,
        engine="reference",
    )
    path = as_file(output)
    if path.resolve() == file.resolve():
        raise ConfigError(f"{path} is also the input file; name another file with --output.")
    require_new(path, force)
    model.save(path)
    recipe = model.config.recipe
    if as_json:
        show_json({"model": str(path), **figures(model.learner), "recipe": recipe})
    else:
        show(f"{path}: {described(model.learner)}")
        train = terminal_command("train", Placeholder("TEXT"), from_model=path)
        say(
            f"to train it further: {train}. It keeps its settings, which started from the recipe "
            f"{recipe}; give --recipe to use another."
        )


import_.__name__ = "import"  # the command's name; a function cannot have it, as import is a keyword


def require_new(path: Path, force: bool) -> None:
    """Raise ConfigError if `path` exists and `force` is False."""
    if path.exists() and not force:
        kind = "directory" if path.is_dir() else "file"
        raise ConfigError(
            f"{path} exists; name another {kind} with --output, or give --force to overwrite it."
        )


def figures(learner: "Learner") -> dict[str, Any]:
    """Return the cell, the sizes and the dtype of a network as a dict for JSON."""
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
    """Return a phrase with the cell, the sizes and the dtype of a network."""
    phrase = (
        "{cell}, {layers} × {hidden_size:,} hidden units, {vocabulary_size:,} {tokens}, {dtype}"
    )
    return phrase.format_map(figures(learner))
