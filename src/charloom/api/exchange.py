"""Exports models to other frameworks and imports them: `export` and `import_model`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from charloom.api.model import Model, load
from charloom.api.texts import as_file, as_path
from charloom.config import require_one_of
from charloom.engines import open_engine
from charloom.errors import ConfigError
from charloom.exchange import Prefixes, read_characters, read_torch_file, torch_bytes
from charloom.store import replace_file

FRAMEWORKS: Final = ("torch",)


def export(model: Model | str | Path, path: str | Path, *, to: str = "torch") -> Path:
    """Write a model for another framework.

    For PyTorch the file is a state_dict in safetensors, with the names of nn.RNN, nn.LSTM or nn.GRU
    (`rnn.weight_ih_l0` …) and nn.Linear (`head.weight`, `head.bias`); `safetensors.torch.load_file`
    reads it, and the Python that makes the network and loads the file is in its metadata, under
    `load` (spec/formats.md: PyTorch files). PyTorch is not needed.

    Args:
        model: a model, or what `load` opens.
        path: the file to write; what was there is replaced.
        to: the framework, "torch".

    Returns:
        The path.

    Raises:
        ConfigError: no such framework, a path that is none or a directory's, or that of the model.
        DivergedError: a number in the model is not finite.
        WriteError: the disk refused; what was there before is as it was.
    """
    require_one_of("to", to, FRAMEWORKS)
    path = as_file(path)
    if not isinstance(model, Model):
        if as_path(model).resolve() == path.resolve():
            raise ConfigError(f"{path} is the model itself; name another file to write.")
        model = load(model)
    replace_file(path, torch_bytes(model.learner, path.name))
    return path


def import_model(
    file: str | Path,
    *,
    vocabulary: str | Path | Sequence[str] | None = None,
    tokens: str | None = None,
    recurrent: str | None = None,
    head: str | None = None,
    engine: str = "auto",
) -> Model:
    """Make a model of a PyTorch state_dict, without PyTorch.

    A model that is trained further learns by the settings that its file tells; a file that charloom
    did not write tells none, and the recipe "quick" gives them.

    Args:
        file: a safetensors file that `export` wrote, or of any network of nn.RNN, nn.LSTM or nn.GRU with
            nn.Linear on top; before it, one-hot characters or nn.Embedding.
        vocabulary: where the file does not tell it, the characters of id 0, 1, 2 …; or the path of the
            text that it was trained on, or of a .json file with the characters.
        tokens: what those are, "characters" or "bytes"; None: as the file says, else characters.
        recurrent: the name of the recurrent part, where there are several.
        head: the name of the nn.Linear that makes the logits, likewise.
        engine: auto, native or reference.

    Raises:
        NotAModelError: no such file, no safetensors, or not such a network; or a choice is left.
        DamagedError: the file contradicts itself, or holds numbers that are not finite.
        TextError: the vocabulary is missing, repeats a character, has another size, or contradicts
            the file's own.
        MissingPartError: the native engine was asked for by name and is not there.
    """
    if vocabulary is None or not isinstance(vocabulary, str | Path):
        characters = None if vocabulary is None else list(vocabulary)
    else:
        characters = read_characters(str(vocabulary), tokens)
    prefixes = Prefixes(recurrent, head)
    learner = read_torch_file(as_path(file), characters, tokens, prefixes)
    return Model(learner, open_engine(engine, learner.config.threads), before=None)
