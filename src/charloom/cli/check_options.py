"""Options of the commands that check and measure: gradcheck, doctor and bench."""

from pathlib import Path
from typing import Annotated

import typer

from charloom.cell_table import CELL_NAMES
from charloom.cli.options import choice_option, path_option

# gradcheck

VocabularySize = Annotated[
    int,
    typer.Option(help="number of distinct characters K of the random window; only without TEXT"),
]
InitialState = Annotated[
    str, choice_option(choices=("zero", "non-zero"), help="initial hidden state of the window")
]
Entries = Annotated[
    int | None,
    typer.Option(
        help="number of entries of each parameter to check, drawn at random by --seed [default: 200, or "
        "fewer if 200 take more than ten seconds]"
    ),
]
AllEntries = Annotated[bool, typer.Option("--all", help="check every entry of every parameter")]
ErrorPlot = Annotated[
    Path | None,
    path_option(
        help="plot the error of the numerical gradient against its step size; FILE ends in .svg or .png"
    ),
]
# bench

Workload = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="the network to time; --list prints the names of all networks"
    ),
]
Rounds = Annotated[
    int | None,
    typer.Option(
        help="how often to time each framework; the medians are shown [default: 7; fewer for the slow workloads]"
    ),
]
ClassicVocabularySize = Annotated[
    int | None,
    typer.Option(
        help="number of distinct characters K, for the workload classic only [default: 80]"
    ),
]
AllDevices = Annotated[
    bool,
    typer.Option(
        "--devices",
        help="compare the native engine with the torch engine on each device, and with 1, 2 and 4 processes",
    ),
]
ListWorkloads = Annotated[bool, typer.Option("--list", help="list the workloads and exit")]
# doctor

Function = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE.py:FUNCTION",
        help="The function that computes loss and gradients. With FILE.py alone, the doctor looks for it in "
        "the file. Or a whole class: a folder of submissions, a quoted "
        "pattern such as 'handins/*.py', several files, or the zip of a course system.",
    ),
]
FunctionName = Annotated[
    str | None,
    typer.Option(
        "--function",
        metavar="FUNCTION",
        help="the name of the function, if it is not after the file or folder",
    ),
]
CallForm = Annotated[
    str,
    choice_option(
        choices=("auto", "natural", "course", "torch"),
        help="form of the function: natural takes a dict of parameters and the ids of characters; course "
        "takes an object with the parameters and one-hot columns; torch is a PyTorch module; auto "
        "tries all three",
    ),
]
CheckedCell = Annotated[
    str | None,
    choice_option(
        choices=CELL_NAMES,
        help="cell of your network [default: found out from your code]. "
        "LSTM: the fourth argument of your function is the pair (h0, c0), each of shape (H); the gates "
        "in U, W, b can have any order. GRU: a second bias d of shape (H) is added to W_n h. --template writes an example",
    ),
]
GateOrder = Annotated[
    str,
    typer.Option(
        help="the order that your gates must have, such as ifgo (LSTM) or rzn (GRU) [default: any order]"
    ),
]
WantedNetwork = Annotated[
    str | None,
    typer.Option(
        help="differences from the specification that your network is meant to have, separated by commas, "
        "such as reset-before-product or activation-differs=relu; they are ids of --list"
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="exit with 1 also if your gradient is right only for your own network"
    ),
]
NumericalFunction = Annotated[
    str | None,
    typer.Option(
        metavar="FUNCTION", help="also check your numerical gradient, a FUNCTION of the same file"
    ),
]
ParameterNames = Annotated[
    str | None,
    typer.Option(
        help="your names of the parameters, if the doctor does not recognize them, such as "
        "U=Wxh,W=Whh,b=bh,V=Why,c=by"
    ),
]
ReturnedItems = Annotated[
    str | None,
    typer.Option(
        help="the items of the returned tuple, in order, such as loss,U,W,b,V,c,_ (_ is an item to ignore)"
    ),
]
ArgumentOrder = Annotated[
    str | None, typer.Option(help="the arguments of the function, in order, such as params,x,y,h0")
]
LossReduction = Annotated[
    str,
    choice_option(
        choices=("sum", "mean"), help="whether the loss is the sum or the mean over time"
    ),
]
CheckedDtype = Annotated[
    str,
    choice_option(
        choices=("auto", "float64", "float32"),
        help="apply the tolerance of this precision; auto: float32 if all returned gradients are float32, "
        "else float64",
    ),
]
TrialSeed = Annotated[int, typer.Option(help="seed of the random numbers in all trials")]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        help="seconds of processor time that the code may use in total [default: 60; in a class 20]"
    ),
]
ListMistakes = Annotated[bool, typer.Option("--list", help="list the known mistakes and exit")]
Template = Annotated[
    str | None,
    choice_option(
        choices=("numpy", "course", "torch"), help="write an example file to start from, and exit"
    ),
]
TemplateFile = Annotated[Path | None, path_option(help="where to write the template")]
WrapperFile = Annotated[
    Path | None,
    path_option(
        help="check nothing, but write FILE.py with a wrapper around your functions, which you can read, "
        "change and check"
    ),
]
DiagnosisPage = Annotated[
    Path | None,
    path_option(
        help="also write the diagnosis as an HTML page; for a class, FILE is a folder: a page with a table, and "
        "one for each submission"
    ),
]
ClassTable = Annotated[
    Path | None,
    path_option("--csv", help="of a class: write the table of the submissions as CSV"),
]
GradescopeFile = Annotated[
    Path | None,
    path_option(
        "--gradescope",
        help="of a class: write the results.json of a Gradescope autograder; of one submission, it has a test for "
        "each gradient",
    ),
]
Included = Annotated[
    list[Path] | None,
    path_option(
        "--include",
        help="of a class: a file to copy beside each submission, such as a text or a module that you handed out; can be given "
        "several times",
    ),
]
OneSubmission = Annotated[
    bool,
    typer.Option(
        "--one-submission",
        help="of a class: the folder or zip is one submission with several files",
    ),
]
ResumedVerdicts = Annotated[
    Path | None,
    path_option(
        "--resume",
        help="of a class: keep each verdict in FILE; with the same command again, only submissions that are "
        "new or have changed are judged",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="of a class: how many submissions are judged at the same time [default: the number of cores]",
    ),
]
SubmissionMemory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        help="of a class: MB of memory that a submission may use [default: 2000]",
    ),
]
AllTables = Annotated[
    bool,
    typer.Option(
        "--table", help="show the table and the picture of the errors even if the function is right"
    ),
]
