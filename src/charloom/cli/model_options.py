"""Options of the commands that use a model: sample, evaluate, score, neurons, export and import."""

from pathlib import Path
from typing import Annotated, Final

import typer

from charloom.cli.completion import text_names
from charloom.cli.escapes import ESCAPES_HELP
from charloom.cli.grid_values import number_list
from charloom.cli.options import choice_option, given_path, path_option
from charloom.config import DYNAMIC_RATE, GRID_TEMPERATURES, GRID_TOP_PS

# Parts of the help of the argument TEXT, in every command where a model reads a text.
TEXTS: Final = "Files, directories and so on, as for train"
OWN_TEXT: Final = "the text that the model was trained on"

# Options for writing text

Prompt = Annotated[
    str,
    typer.Option(
        help="text that the model reads first, or - to read it from standard input; it is printed "
        "too [default: a line feed, which is not printed]"
    ),
]
PromptFile = Annotated[Path | None, path_option(help="a file with the prompt, instead of --prompt")]
Prompts = Annotated[
    Path | None,
    path_option(help="a file with several prompts, one in each line, instead of --prompt"),
]
Length = Annotated[int, typer.Option(help="largest number of characters to write")]
Temperature = Annotated[
    float,
    typer.Option(
        help="below 1: more predictable; above 1: more varied; 0: always the likeliest character"
    ),
]
TopK = Annotated[int, typer.Option(help="draw only from the k likeliest characters; 0: from all")]
TopP = Annotated[
    float,
    typer.Option(
        help="draw only from the likeliest characters that together have this probability"
    ),
]
MinP = Annotated[
    float,
    typer.Option(
        help="leave out characters whose probability is below this fraction of the highest probability"
    ),
]
RepetitionPenalty = Annotated[
    float, typer.Option(help="above 1: characters in the repetition window become less likely")
]
RepetitionWindow = Annotated[
    int, typer.Option(help="number of latest characters to which the repetition penalty applies")
]
Stop = Annotated[
    list[str] | None,
    typer.Option(metavar="STRING", help=f"stop before this string; repeatable; {ESCAPES_HELP}"),
]
Start = Annotated[
    str | None,
    choice_option(
        choices=("text", "zero"),
        help="text: begin at the beginning of a line, in the state that the model has from its training text; "
        "zero: begin in the zero state [default: text]",
    ),
]
Samples = Annotated[int, typer.Option("-n", "--samples", help="number of texts to write")]
# Options for writing items

MaxLength = Annotated[
    int | None,
    typer.Option(
        help="items: leave out those that do not end within so many characters [default: 10,000]"
    ),
]
New = Annotated[
    bool, typer.Option("--new", help="items: leave out those that the collection contains")
]
Distinct = Annotated[
    bool, typer.Option("--distinct", help="items: leave out those that were written before")
]
Matching = Annotated[
    str | None,
    typer.Option(metavar="REGEX", help="items: keep only those that match this as a whole"),
]
ItemCheck = Annotated[
    str | None,
    typer.Option(
        "--check",
        metavar="FILE.py:FUNCTION",
        help="items: keep only those for which this function of yours returns True",
    ),
]
Grid = Annotated[
    bool,
    typer.Option(
        "--grid",
        help="write a table of texts, one for each of the --temperatures and --top-ps, all from the same seed",
    ),
]
Temperatures = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="the temperatures of the table, one for each row, such as 0.5,0.8,1 [default: "
        f"{number_list(GRID_TEMPERATURES)}]",
    ),
]
TopPs = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="the values of --top-p of the table, one for each column, such as 0.8,0.95,1 [default: "
        f"{number_list(GRID_TOP_PS)}]",
    ),
]
# Options for choosing the text that a model reads

EvaluatedText = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT", autocompletion=text_names, help=f"{TEXTS} [default: {OWN_TEXT}]."
    ),
]
SearchedText = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        autocompletion=text_names,
        help=f"{TEXTS} [default: {OWN_TEXT}, or a built-in text if that text is missing].",
    ),
]
SearchedForCopies = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        autocompletion=text_names,
        help=f"{TEXTS} All of it is searched, and characters that the model does not know are skipped "
        f"[default: the training part of {OWN_TEXT}].",
    ),
]
CopiesPicture = Annotated[
    Path | None,
    path_option(
        "--picture", help="draw the shares by length into this file, which ends in .svg or .png"
    ),
]
Split = Annotated[
    str | None,
    choice_option(
        choices=("train", "validation", "test", "all"),
        help="which part of the text to use, divided as in training [default: 'validation' for the "
        "model's own text, or 'train' if that has no validation part; 'all' for another text]",
    ),
]
Streams = Annotated[
    int | None,
    typer.Option(
        help="divide the text into this many streams, which are read in parallel. 1 is exact; with "
        "more, each stream after the first starts from an approximate hidden state. --dynamic always "
        "reads one stream [default: at most 64]"
    ),
]
WithBaselines = Annotated[
    bool,
    typer.Option(
        "--baselines", help="also print the bits per character of n-gram models and compressors"
    ),
]
Separately = Annotated[
    bool,
    typer.Option(
        "--separately",
        help="for a model with n-grams: also evaluate its network and its n-grams alone; takes about twice "
        "as long",
    ),
]
Dynamic = Annotated[
    bool,
    typer.Option(
        "--dynamic",
        help="also evaluate a copy of the model that learns from each 32 characters after it has predicted "
        "them; takes several times as long",
    ),
]
DynamicRate = Annotated[
    float | None,
    typer.Option(help=f"the learning rate for --dynamic [default: {DYNAMIC_RATE}]"),
]
ScoredFile = Annotated[str, typer.Argument(metavar="TEXT", help="A file, or - for standard input.")]
TextItself = Annotated[
    str | None, typer.Option("--text", help="the text itself, instead of the name of a file")
]
EachLine = Annotated[
    bool,
    typer.Option("--each", help="take each line of the text by itself, and print a line for each"),
]
# Options for finding and showing hidden units

Properties = Annotated[
    list[str] | None,
    typer.Option(
        "--property",
        metavar="NAME",
        help="a built-in property of characters to find units for; --list prints the names; repeatable "
        "[default: all]",
    ),
]
Pattern = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="regular expression; find units that separate the characters it matches from the others",
    ),
]
OnlyLayer = Annotated[int | None, typer.Option(help="search only this layer, counted from 0")]
OnlyUnit = Annotated[
    int | None,
    typer.Option(
        help="use only this unit, counted from 0, and without --ablate colour the text by its value"
    ),
]
UnitValue = Annotated[
    str | None,
    choice_option(
        choices=("h", "cell", "i", "f", "g", "o", "r", "z", "n"),
        help="use only this value of each unit. h (the output): for every cell; cell and the gates "
        "i, f, g, o: only for an LSTM; the gates r, z, n: only for a GRU",
    ),
]
TopUnits = Annotated[
    int | None,
    typer.Option(
        help="number of units to list for each property, or with --ablate in all [default: 3, or 20 with --ablate]"
    ),
]
Ablate = Annotated[
    str | None,
    choice_option(
        "--ablate",
        choices=("zero", "mean"),
        help="instead of finding units: hold one unit after another at 0 or at its mean, and list what this costs "
        "in bits per character",
    ),
]
Probed = Annotated[
    list[str] | None,
    typer.Option(
        "--probe",
        metavar="NAME",
        help="instead of finding units: fit a linear function of all units to this built-in property, and print how "
        "well it does on other text; repeatable",
    ),
]
AblatedCharacters = Annotated[
    int | None,
    typer.Option(
        help="for --ablate: the largest number of characters to predict with each unit [default: 12000]"
    ),
]
MostCharacters = Annotated[int, typer.Option(help="largest number of characters to read")]
ShownCharacters = Annotated[
    int,
    typer.Option("--show", help="number of characters to colour or plot, counted from the first"),
]
Colour = Annotated[
    bool, typer.Option("--colour", help="colour the text by the best unit of the first property")
]
UnitPlot = Annotated[
    Path | None,
    path_option(
        help="plot the values of all units, or of one --layer, over the text, or with --ablate the costs of the units; "
        "FILE ends in .png or .svg"
    ),
]
# Options for fixed points

ConstantCharacter = Annotated[
    str | None,
    typer.Option(
        "--character",
        metavar="CHARACTER",
        help="the character that the model reads at every step [default: no input]",
    ),
]
FirstStates = Annotated[
    int, typer.Option("--starts", help="number of visited states from which to search")
]
SpectrumPlot = Annotated[
    Path | None,
    path_option(
        "--png",
        help="plot the eigenvalues in the complex plane; FILE ends in .png or .svg",
    ),
]
# Options for exporting models, and for importing them from PyTorch

Target = Annotated[
    str, choice_option(choices=("torch", "onnx", "hub", "html"), help="what the model is for")
]
ExportedPath = Annotated[
    Path | None,
    path_option(
        help="the file to write, or for hub the directory [default: NAME.torch.safetensors, NAME.onnx, NAME-hub "
        "or NAME.html]"
    ),
]
AboutText = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS",
        help="for hub and html: what the model was trained on, for the card or the page, such as 'the novels of "
        "Jane Austen'; without it, they do not say it",
    ),
]
License = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="for hub: the identifier of the model's license for its card, such as mit or cc-by-4.0 "
        "[default: unknown]",
    ),
]
ExportedWeights = Annotated[
    str,
    choice_option(
        "--weights",
        choices=("auto", "float16", "float32"),
        help="for html: the type of the weights. float16 makes the file smaller, up to half the size, but its texts differ "
        "from those of the model after some hundred or thousand characters; auto: float16 if it changes the loss by less than "
        "0.001 bits",
    ),
]
NetworkAlone = Annotated[
    bool,
    typer.Option(
        "--network-alone",
        help="leave out the n-grams of the model, which files for PyTorch and ONNX cannot have; the loss is then far higher",
    ),
]
OptimizerState = Annotated[
    bool,
    typer.Option(
        "--optimizer",
        help="for torch: also write the state of the optimizer, with which PyTorch continues the training, into NAME.optimizer.safetensors",
    ),
]
ModelDirectory = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", parser=given_path, help="A directory that export --to hub wrote."
    ),
]
Repository = Annotated[
    str,
    typer.Argument(metavar="REPO", help="The name of the repository, such as ada/book."),
]
Public = Annotated[
    bool,
    typer.Option(
        "--public",
        help="create a public repository, not a private one; an existing repository stays as it is",
    ),
]
ImportedFile = Annotated[
    Path,
    typer.Argument(metavar="FILE", parser=given_path, help="A safetensors file with a state_dict."),
]
ModelFile = Annotated[Path, path_option(metavar="MODEL", help="the model file to write")]
VocabularyOf = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="the text that the model was trained on, or a .json file with the characters in "
        "the order of their ids; needed if FILE has no vocabulary",
    ),
]
RecurrentModule = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="the recurrent module to use, if FILE has several"),
]
HeadModule = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="the nn.Linear that computes the logits, if FILE has several"
    ),
]
Force = Annotated[bool, typer.Option("--force", help="overwrite what exists")]
