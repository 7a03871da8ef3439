"""Exports models to PyTorch, ONNX, hubs and browsers, and imports them from PyTorch: `export`, `push`, `import_model`."""

from collections.abc import Sequence
from pathlib import Path

from charloom.api.export_file import ExportOptions, output_path, refuse_own_model, target_of
from charloom.api.model import Model, load
from charloom.api.text_arguments import as_path
from charloom.config import require_string
from charloom.engines import open_engine
from charloom.hub_upload import Uploaded, upload
from charloom.pytorch_format import read_characters, read_torch_file
from charloom.pytorch_state_dict import Prefixes


def export(
    model: Model | str | Path,
    path: str | Path,
    *,
    to: str = "torch",
    network_alone: bool = False,
    about: str | None = None,
    license: str | None = None,
    weights: str = "auto",
    optimizer: bool = False,
) -> Path:
    """Write a model as a file for another framework or a browser, or as a directory for a hub of models.

    For PyTorch the file is a state_dict in the safetensors format, with the names of nn.RNN, nn.LSTM
    or nn.GRU (`rnn.weight_ih_l0` …) and nn.Linear (`head.weight`, `head.bias`).
    `safetensors.torch.load_file` reads it. Its metadata field `load` holds Python code that creates
    the network and loads the file (spec/formats.md: PyTorch files).

    For ONNX the file has the whole network with its weights in float32. The inputs are `ids` (T, B) and the
    state before them, `h0` (L, B, H), for an LSTM also `c0`; the outputs are `logits` (T, B, K) and the state
    after them, `hn` and `cn`. Its metadata `charloom.onnx` has the vocabulary, and Python code that runs the
    file with onnxruntime (spec/formats.md: ONNX files).

    Neither PyTorch nor a package for ONNX need be installed. These files have no state, so the exported model
    begins in the zero state.

    For a hub such as Hugging Face, the directory has the model file that `Model.save` writes, which `load`
    opens again, a config.json, and a README.md, the model card (spec/formats.md: Model directories). The card
    has the model's sizes and, if it is known, its validation loss. It does not name the training text.

    For a browser ("html"), the file is one page that contains the model, with its n-grams and the state in which
    a text begins. It writes text without a network (spec/formats.md: HTML files). If its weights are those of
    the model, it writes the texts of `Model.sample`. The n-grams show which strings the training text contains.

    Warns with a UserWarning if training measured that the model writes badly from the state in which the
    exported model begins.

    Args:
        model: a model, or a path that `load` opens.
        path: the file or directory to write; an existing one is replaced, except a README.md that a user has edited,
            which is kept with a warning. The title of a page is the name of its file without the ending.
        to: the target, "torch", "onnx", "hub" or "html".
        network_alone: leave out the n-grams of the model, which files for PyTorch and ONNX cannot have. The
            loss of the network alone is often far higher than that of the model
            (`Model.network_alone().evaluate()`). Changes nothing for a model without n-grams.
        about: for "hub" and "html": what the model was trained on, for the model card or the page, such as "the
            novels of Jane Austen". Without it, neither says it.
        license: for "hub": the identifier of the model's license for the model card, such as "mit". None means
            "unknown".
        weights: for "html": the type of the weights. With "float16" the file is smaller, up to half the size, but its
            texts differ from those of the model after some hundred or thousand characters. "auto" is "float16" if this
            changes the loss by less than 0.001 bits per character, else "float32". The loss is measured on the
            first 20,000 characters of the validation part of the model's text (or else of its training part),
            or if the text is not known, on a text that the model writes.
        optimizer: for "torch": also write the state of the optimizer beside the file, with the ending
            `.optimizer.safetensors`, in PyTorch's form. Its metadata `charloom.torch.optimizer` holds Python code that
            makes the optimizer and loads it. PyTorch then continues the training with the same updates, except for
            rounding. Needs the optimizer adam, adamw, rmsprop or sgd, and a run or a checkpoint, because model files
            have no such state.

    Returns:
        The path of the file or directory.

    Raises:
        ConfigError: the target does not exist, or does not have an option that is given; or an option is not
            valid; or `path` is not valid or is the model itself. For a file: `path` is a directory. For "torch" and
            "onnx": the model has n-grams and `network_alone` is False. For "torch": the model has inputs for
            pairs of characters; or `optimizer` is True, and PyTorch could not continue the training. For "onnx": the
            file would be larger than 2 GiB. For "hub": `path` is a file or a directory with other files than those of
            an export. For "html": a weight is too large for "float16".
        DivergedError: a number in the model is not finite, or for "onnx" and "html" too large for float32.
        WriteError: the file cannot be written; an existing file is unchanged.
    """
    options = ExportOptions(network_alone, about, license, weights, optimizer)
    path = output_path(path, target_of(to, options))
    if not isinstance(model, Model):
        source = as_path(model, "model")
        refuse_own_model(path, source)
        model = load(source)
    return model.write_export(path, to, options)


def push(directory: str | Path, repository: str, *, public: bool = False) -> Uploaded:
    """Upload a directory that `export` wrote for a hub to Hugging Face. Needs the extra `hub`.

    The files are one commit. The token is the one of huggingface_hub: log in with `hf auth login`, or set HF_TOKEN.

    Args:
        directory: the directory. Other files in it are not uploaded.
        repository: the name of the repository, such as "ada/book". It is created if it does not exist.
        public: create a public repository, not a private one. An existing repository stays as it is.

    Returns:
        The name of the repository, the address of its page, and the identifier of the commit.

    Raises:
        NotAModelError: `directory` is not such a directory.
        DamagedError: its model file is damaged.
        ConfigError: `directory` is not a valid path, or `repository` is not a str.
        MissingPartError: huggingface_hub is not installed.
        HubError: the hub refused the files, or could not be reached.
    """
    directory, repository = (
        as_path(directory, "directory"),
        require_string("repository", repository),
    )
    return upload(directory, repository, public)


def import_model(
    file: str | Path,
    *,
    vocabulary: str | Path | Sequence[str] | None = None,
    tokens: str | None = None,
    recurrent: str | None = None,
    head: str | None = None,
    engine: str = "auto",
) -> Model:
    """Read a model from a PyTorch state_dict. PyTorch need not be installed.

    If the model is trained further, it uses the settings in the file. A file that charloom did not
    write holds no settings, so the model gets those of the recipe "quick".

    Args:
        file: a safetensors file that `export` wrote, or a file with any network of an nn.RNN, nn.LSTM
            or nn.GRU followed by an nn.Linear. The input is one-hot characters or an nn.Embedding.
        vocabulary: a sequence of the characters with the ids 0, 1, 2 …; or the path of the text that
            the model was trained on, or of a .json file with the characters. Needed if the file
            holds no vocabulary.
        tokens: the unit that the model predicts, "characters" or "bytes". None means the unit in the file,
            or characters if the file names no unit.
        recurrent: name of the recurrent module to use, if the file has several.
        head: name of the nn.Linear that computes the logits, if the file has several.
        engine: auto, native, reference or torch. The engine torch takes a GPU if there is one.

    Raises:
        NotAModelError: the file does not exist, is not in the safetensors format or holds another
            kind of network. Or it has several recurrent modules or heads, and none was chosen.
        DamagedError: the file contradicts itself, or holds numbers that are not finite.
        TextError: the vocabulary is missing, repeats a character, has a wrong size or contradicts
            the vocabulary in the file.
        MissingPartError: `engine` is native, and the native engine is not installed.
    """
    if vocabulary is None or not isinstance(vocabulary, str | Path):
        characters = None if vocabulary is None else list(vocabulary)
    else:
        characters = read_characters(str(vocabulary), tokens)
    prefixes = Prefixes(recurrent, head)
    learner = read_torch_file(as_path(file, "file"), characters, tokens, prefixes)
    return Model(learner, open_engine(engine, learner.config.threads), before=None)
