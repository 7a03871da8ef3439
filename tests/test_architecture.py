"""Imports of the package go only to lower floors, never up or sideways (ARCHITECTURE.md).

The rules are checked on the source with `ast`, so an import inside a function counts too. A separate
interpreter shows which modules are loaded at the start.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import charloom

PACKAGE = Path(charloom.__file__).parent

# From the ground up. A name stands for the module or the package and all that is in it.
FLOORS = [
    {
        "messages",
        "formatting",
        "gradient_errors",
        "cooperative",
        "even_sample",
        "cell_table",
        "colour_steps",
    }
    | {"parent_process", "cpu_limits", "temporary_names", "canonical_form", "run_file_names"}
    | {"live_processes", "name_suggestions", "reading_progress", "process_rank"},
    {"errors", "notebook_html", "wrapped_table"},
    {"user_files"},
    {"registered_cells"},
    {"random", "config", "pattern_matches", "settings_types"},
    {"recipes", "text"},
    {"model"},
    {"_native"},
    {"engines"},
    {"store"},
    {"scoring", "dynamic_scoring", "finetune", "ngram_logits", "pytorch_state_dict"},
    {
        "training",
        "gradient_check",
        "network_trace",
        "diagnosis",
        "bench",
        "pytorch_format",
        "pytorch_optimizer",
        "onnx_format",
        "hub_format",
        "hub_upload",
        "export_html",
    }
    | {"sampling", "evaluation", "surprisal", "baselines", "hidden_units", "mixture_weights"}
    | {"verbatim_matches"},
    {"sampling_grid"},
    {"report"},
    {"api"},
    {"studies", "research", "listeners"},
    {"web"},
    {"cli"},
    {"__main__", ""},  # "" is charloom/__init__.py, which only names what others define
]

# Modules of one package that must not know one another; what else is in it may be used by all.
INDEPENDENT = {"engines": {"reference", "native", "torch"}}
OPENERS = {"engines"}  # a package's __init__ may choose among the independent modules


def module_name(path, package):
    """Return a module's name in the package, such as `engines.reference.cells`; "" for the package."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path, package):
    """Return the modules of the package that a file imports, each with its line."""
    root = package.name
    here = [root, *module_name(path, package).split(".")]
    if path.name != "__init__.py":
        here = here[:-1]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = here[: len(here) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [
            (name.removeprefix(root).removeprefix("."), node.lineno)
            for name in names
            if name.split(".")[0] == root
        ]
    return found


def floor_of(name):
    """Return the number of a module's floor, 0 for the lowest; None for a module without a floor."""
    top = name.split(".")[0]
    return next((number for number, floor in enumerate(FLOORS) if top in floor), None)


def independent_part(name):
    """Return the independent part to which a module belongs, as (package, part); None without one."""
    package, _, rest = name.partition(".")
    member = rest.split(".")[0]
    return (package, member) if member in INDEPENDENT.get(package, ()) else None


def violations(package):
    """Return a sentence for each import in the package that the rules forbid."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = module_name(path, package)
        if floor_of(name) is None:
            found.append(f"{name} has no floor")
            continue
        for target, line in imports_of(path, package):
            if not target or target.startswith("__version__"):
                continue
            where = f"{path.relative_to(package)}:{line}: {name or package.name}"
            if floor_of(target) is None:
                # Only the package's own __init__ defines names directly under the package.
                found.append(f"{where} imports {target}, which has no floor")
            elif floor_of(target) > floor_of(name):
                found.append(f"{where} imports {target} from a higher floor")
            elif floor_of(target) == floor_of(name) and (
                target.split(".")[0] != name.split(".")[0]
            ):
                found.append(f"{where} imports its sibling {target}")
            elif (
                name not in OPENERS
                and independent_part(target)
                and independent_part(target) != independent_part(name)
                and target.split(".")[0] == name.split(".")[0]
            ):
                found.append(f"{where} imports {target}, but both must be independent")
    return found


def test_imports_only_go_down_and_never_sideways():
    assert violations(PACKAGE) == []


def test_every_module_begins_with_a_description():
    for path in PACKAGE.rglob("*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert docstring, f"{path} has no docstring"
        assert docstring.splitlines()[0].endswith((".", "?", ",", ":")) or "\n" in docstring


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("errors.py", "from charloom.config import Config", "from a higher floor"),
        ("random.py", "import charloom.config", "its sibling config"),
        ("text/corpus.py", "import charloom.recipes", "its sibling recipes"),
        ("store/run_writer.py", "from charloom.scoring import averaging", "from a higher floor"),
        ("scoring.py", "from charloom import evaluation", "from a higher floor"),
        ("training.py", "def f():\n    from charloom import sampling", "its sibling sampling"),
        ("training.py", "from . import gradient_check", "its sibling gradient_check"),
        ("model/learner.py", "from ..engines.base import Engine", "from a higher floor"),
        ("engines/native.py", "from charloom.engines.reference import x", "must be independent"),
        (
            "engines/reference/cells.py",
            "from .. import native",
            "engines.native, but both must be independent",
        ),
        ("store/run_writer.py", "from charloom.api import train", "from a higher floor"),
        ("attic.py", "", "attic has no floor"),
    ],
)
def test_a_planted_violation_is_caught(tmp_path, module, source, sentence):
    path = tmp_path / "charloom" / module
    path.parent.mkdir(parents=True)
    path.write_text(source, encoding="utf-8")
    (found,) = violations(tmp_path / "charloom")
    assert sentence in found


def test_imports_of_lower_packages_and_of_own_modules_are_allowed(tmp_path):
    package = tmp_path / "charloom"
    (package / "engines").mkdir(parents=True)
    (package / "engines" / "__init__.py").write_text("from charloom.engines import native")
    (package / "engines" / "native.py").write_text("from charloom.engines.base import Plan")
    (package / "training.py").write_text(
        "from charloom.store.run_writer import RunWriter\nimport os"
    )
    assert violations(package) == []


# Cycles


def import_graph(package):
    """Return, for each module of the package, the modules that it imports, also within functions."""
    modules = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}

    def module_of(name):
        while name and name not in modules:
            name = name.rpartition(".")[0]
        return name

    return {
        name: {module_of(target) for target, _ in imports_of(path, package)} - {name, ""}
        for name, path in modules.items()
    }


def import_cycles(package):
    """Return a sentence for each import that closes a cycle, such as "a -> b -> a"."""
    graph, finished, found = import_graph(package), set(), []

    def visit(name, chain):
        if name in chain:
            found.append(" -> ".join([*chain[chain.index(name) :], name]))
        elif name not in finished:
            for target in sorted(graph[name]):
                visit(target, [*chain, name])
            finished.add(name)

    for name in sorted(graph):
        visit(name, [])
    return found


def test_no_modules_import_each_other_in_a_cycle():
    assert import_cycles(PACKAGE) == []


@pytest.mark.parametrize(
    ("sources", "cycle"),
    [
        ({"a": "import charloom.b", "b": "from charloom import a"}, "a -> b -> a"),
        (
            {"a": "from charloom.b import x", "b": "def f():\n    from charloom.c import y",
             "c": "from . import a"},
            "a -> b -> c -> a",
        ),
        ({"web/__init__": "from charloom.web.page import x", "web/page": "from charloom.web import y"},
         "web -> web.page -> web"),
    ],
    ids=["two modules", "three modules and a function", "a package and its module"],
)  # fmt: skip
def test_a_planted_cycle_is_caught(tmp_path, sources, cycle):
    for name, source in sources.items():
        path = tmp_path / "charloom" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    assert import_cycles(tmp_path / "charloom") == [cycle]


def test_imports_in_one_direction_are_not_a_cycle(tmp_path):
    package = tmp_path / "charloom"
    package.mkdir()
    (package / "a.py").write_text("from charloom import b, c")
    (package / "b.py").write_text("import charloom.c\nimport charloom")
    (package / "c.py").write_text("import os")
    assert import_cycles(package) == []


# Names


def unclear_names(package):
    """Return a sentence for each module whose name is also that of another module or of a function in it."""
    found, places = [], {}
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        if path.stem.startswith("__"):
            continue
        if path.stem in places:
            found.append(f"{name} has the name of {places[path.stem]}")
        places[path.stem] = name
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
        if path.stem in functions:
            found.append(f"{name} has the name of a function in it")
    return found


def test_no_module_shares_its_name_with_anything_else():
    assert unclear_names(PACKAGE) == []


def test_planted_names_that_are_used_twice_are_caught(tmp_path):
    (tmp_path / "web").mkdir()
    (tmp_path / "runs.py").write_text('"""Runs."""\n')
    (tmp_path / "web" / "runs.py").write_text('"""Routes."""\n')
    (tmp_path / "web" / "page.py").write_text('"""A page."""\n\n\ndef page():\n    pass\n')
    assert unclear_names(tmp_path) == [
        "web/page.py has the name of a function in it",
        "web/runs.py has the name of runs.py",
    ]


# The length of functions

MOST_LINES = 80
SCREEN_LINES = 45


def long_functions(package, most=MOST_LINES):
    """Return "FILE: NAME" of each function with more lines than `most`, and its lines."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > most:
                    found[f"{path.relative_to(package).as_posix()}: {node.name}"] = lines
    return found


def test_a_function_fits_on_a_screen_and_a_half():
    found = long_functions(PACKAGE)
    assert not found, (
        f"{found} have more than {MOST_LINES} lines. Move each thought of a function into a function "
        f"with a name of its own, and option types of a command into the option modules of cli/."
    )


def test_the_training_loop_fits_on_one_screen():
    long = long_functions(PACKAGE / "training", SCREEN_LINES)
    assert [name for name in long if name.startswith("loop.py: ")] == []


def test_a_planted_long_function_is_caught(tmp_path):
    def source(lines):
        return "class A:\n    async def grows(self):\n" + "        x = 1\n" * (lines - 1)

    (tmp_path / "short.py").write_text(source(MOST_LINES))
    (tmp_path / "long.py").write_text(source(MOST_LINES + 1))
    assert long_functions(tmp_path) == {"long.py: grows": MOST_LINES + 1}


# The options of commands


def help_texts(package):
    """Return the help of each option and argument of the commands, in the order of the files."""
    found = []
    for path in sorted(package.rglob("cli/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(
                ("typer.", "path_option")
            ):
                found += [ast.unparse(k.value) for k in node.keywords if k.arg == "help"]
    return found


def repeated(texts):
    """Return the texts that occur more than once."""
    return sorted({text for text in texts if texts.count(text) > 1})


def test_no_help_text_of_an_option_is_written_twice():
    assert len(help_texts(PACKAGE)) > 50
    assert repeated(help_texts(PACKAGE)) == []


def test_a_planted_help_text_that_is_written_twice_is_caught(tmp_path):
    (tmp_path / "cli").mkdir()
    source = "Force = Annotated[bool, typer.Option(help='overwrite a ' 'file')]\n"
    (tmp_path / "cli" / "a.py").write_text(source)
    (tmp_path / "cli" / "b.py").write_text(source.replace("Force", "Overwrite"))
    assert repeated(help_texts(tmp_path)) == ["'overwrite a file'"]


# How options travel

# Options of one kind travel as one object. Only functions that users call take them one by one.
OBJECTS = {
    "UnknownPolicy": {"unknown", "replacement"},
    "Sampler": {"temperature", "top_k", "top_p", "min_p", "repetition_penalty"},
    "RunChanges": {"minutes", "threads", "save_seconds", "allow_older"},
}
EDGE = {
    "api/memorization.py": {"memorized"},
    "api/model.py": {
        "sample",
        "sample_grid",
        "stream",
        "evaluate",
        "baselines",
        "score",
        "ngram_use",
        "items",
        "activity",
    },
    "api/fixed_point_search.py": {"fixed_points"},
    "api/linear_probe.py": {"probe"},
    "api/unit_ablation.py": {"ablate"},
    "api/unit_search.py": {"neurons"},
    "api/training.py": {"resume"},
    "cli/memorized_command.py": {"memorized"},
    "cli/sample_command.py": {"sample"},
    "cli/run_commands.py": {"resume"},
}


def flat_options(package):
    """Return a sentence for each function below the edge that takes options of an object one by one."""
    found = []
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or node.name in EDGE.get(name, ()):
                continue
            taken = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            found += [
                f"{name}:{node.lineno}: {node.name} takes {', '.join(sorted(taken & options))}: "
                f"take a {title} instead"
                for title, options in OBJECTS.items()
                if len(taken & options) > 1
            ]
    return found


def test_options_of_one_kind_are_passed_as_one_object():
    assert flat_options(PACKAGE) == []


def test_a_planted_list_of_options_is_caught(tmp_path):
    (tmp_path / "api").mkdir()
    source = "def sample(temperature, *, top_k, unknown):\n    pass\n"
    (tmp_path / "sampling.py").write_text(source)
    (tmp_path / "api" / "model.py").write_text(source)
    assert flat_options(tmp_path) == [
        "sampling.py:1: sample takes temperature, top_k: take a Sampler instead"
    ]


# What a start costs


def modules_after(code):
    """Return the modules that a new interpreter has loaded after it ran `code`."""
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


HEAVY = {"matplotlib", "torch", "scipy", "jax", "jinja2", "pandas", "sympy", "pythonbible"}


def test_importing_charloom_imports_no_numpy():
    loaded = modules_after("import charloom; charloom.__all__; charloom.CharloomError")
    assert not loaded & (HEAVY | {"numpy", "typer", "rich", "safetensors", "html"})


HELP = """
import sys
from charloom.cli import main
sys.argv = ["charloom", "--help"]
try:
    main()
except SystemExit as done:
    assert not done.code
"""


def test_help_imports_nothing_heavy():
    loaded = modules_after(HELP)
    assert "charloom.cli" in loaded
    assert not loaded & (HEAVY | {"numpy", "safetensors"})


COMPLETION = """
import os, sys
from charloom.cli import main
sys.argv = ["charloom"]
os.environ |= {{"_CHARLOOM_COMPLETE": "complete_bash", "COMP_WORDS": "{words} ", "COMP_CWORD": "{number}"}}
try:
    main()
except SystemExit as done:
    assert not done.code
"""


@pytest.mark.parametrize(
    "words",
    ["charloom", "charloom train", "charloom sample", "charloom runs rm", "charloom train --cell"],
)
def test_completing_a_word_in_a_shell_imports_nothing_heavy(words):
    loaded = modules_after(COMPLETION.format(words=words, number=len(words.split())))
    assert "charloom.cli.completion" in loaded
    assert not loaded & (HEAVY | {"numpy", "safetensors"})


def test_the_python_interface_does_not_import_matplotlib_or_frameworks():
    loaded = modules_after("import charloom; charloom.train; charloom.load; charloom.gradcheck")
    assert not loaded & (HEAVY | {"typer"})


def test_a_planted_heavy_import_is_seen():
    assert "matplotlib" in modules_after("import matplotlib")
