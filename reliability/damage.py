"""Checks that damaged files are found: flipped bits, lost ends, missing files and files of other runs.

A run and a model file are damaged in many random ways and read in every way. The result must have the same
bits as were written, or an error must name the damaged file. If the user allows a fallback, training must
continue from the newest intact checkpoint. One case cannot be noticed: a model file or a checkpoint, opened
by its own path, that was replaced by another intact one. Journals are not damaged here, except that their
end may be lost: checkpoints store their lengths, but not their contents. An intact config.json of another
run is noticed when the run is resumed.
"""

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import charloom
from charloom.errors import DamagedError, NotAModelError, TextError
from charloom.model import Learner
from charloom.store import load_checkpoint, load_model, read_run
from charloom.store.ngram_tensors import tensors_of_ngrams
from charloom.store.resume_plan import EXTENDABLE
from charloom.training import train_run
from reliability import LONG, SHORT, Figures
from reliability.run_training import folder, reopen

NUMBER = 4
PROMISE = (
    "A flipped bit, a lost end, a missing file or a swapped file is found when it is loaded. "
    "The error names the file, and training falls back to the newest complete checkpoint if "
    "the user allows it."
)

DAMAGES = {SHORT: 160, LONG: 10_000}
ENOUGH = 3  # stop after this many damages that nothing reported
SEED = 4

TEXT = "the cat sat on the mat, and the dog sat by the log; " * 30
SETTINGS = {
    "recipe": "classic",
    "cell": "lstm",
    "hidden_size": 6,
    "seq_length": 10,
    "batch_size": 2,
    "ngram_order": 3,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "report_every": 5,
    "sample_until": 0,
    "sample_length": 5,
    "passage_length": 20,
}
STOPS = (20, 40, 60)  # updates after which the run is saved
WHOLE_OF_ANOTHER = "/ is that of another run"  # in the description of a replaced checkpoint
# It is intact; resuming compares it with the checkpoint.
OTHERS_CONFIG = "run/config.json is that of another run"
WILD = 1000.0  # times the learning rate, so that the last checkpoints are not the best ones

# The bytes of files by relative path; and a damage: its description, and the paths that it affects.
Files = dict[str, bytes]
Damaged = tuple[str, set[str]]
Result = TypeVar("Result")


def check(scale: str) -> Figures:
    """Damage the files in many ways, read them, and return how many damages were found."""
    draw = random.Random(SEED)
    harmless = found = fallbacks = 0
    silent: list[str] = []
    with folder(in_memory=True) as place:
        truth = Truth(place / "truth")
        for trial in range(DAMAGES[scale]):
            files = dict(truth.files)
            what, touched = KINDS[trial % len(KINDS)](files, draw, truth.other)
            if files == truth.files:
                harmless += 1  # swapped with its equal
                continue
            case = place / "case"
            write(case, files)
            try:
                noticed, fell_back = read_all(case, truth, what, touched, files)
            except Silent as error:
                silent.append(str(error))
                if len(silent) == ENOUGH:
                    break
                continue
            finally:
                shutil.rmtree(case)
            found += noticed
            harmless += not noticed
            fallbacks += fell_back
    assert not silent, "; ".join(silent)
    return {
        "damages": DAMAGES[scale],
        "found": found,
        "silent": len(silent),
        "without_effect": harmless,
        "fallbacks_to_the_newest_complete_checkpoint": fallbacks,
        "seed": SEED,
    }


class Silent(AssertionError):
    """Damaged data was read without an error or a warning."""


# The files to damage


class Truth:
    """The intact files, and the right result of each way to read them.

    There are a run with three checkpoints, whose best one is not the latest, a similar run with another
    seed, and a model file.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir()
        text = place / "text.txt"
        text.write_text(TEXT, encoding="utf-8")
        for name, seed in (("run", 1), ("other", 2)):
            train(place / name, text, seed)
        charloom.load(place / "run").save(place / "model.safetensors")
        self.other = read(place / "other")
        self.files = {f"run/{name}": data for name, data in read(place / "run").items()}
        self.files["model.safetensors"] = (place / "model.safetensors").read_bytes()
        self.text = text
        self.checkpoints = {
            update: load_checkpoint(place / "run" / "checkpoints" / str(update)).learner
            for update in STOPS
        }
        self.latest = load_model(place / "run", "latest")
        self.best = load_model(place / "run", "best")
        self.alone = load_model(place / "model.safetensors")
        self.view = read_run(place / "run")
        assert (self.best.update, self.latest.update) == (STOPS[0], STOPS[-1])


def train(run: Path, text: Path, seed: int) -> None:
    """Create a run with a checkpoint at each of `STOPS`; the first is the best, so it is not removed."""
    charloom.train(text, run, updates=STOPS[0], seed=seed, **SETTINGS)
    for stop in STOPS[1:]:
        writer, learner, corpus = reopen(run, updates=stop)
        with writer:
            if stop == STOPS[1]:
                learner.learning_rate_factor = WILD
                writer.add_event("learning_rate_factor", learner.update, learning_rate_factor=WILD)
            for _ in train_run(writer, learner, corpus, charloom.load(run).engine):
                pass


def read(place: Path) -> Files:
    """Return the bytes of the files in a directory and below it."""
    paths = (path for path in sorted(place.rglob("*")) if path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in paths}


def write(place: Path, files: Files) -> None:
    """Write files to the disk."""
    for name, data in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


# The ways to damage


def targets(files: Files) -> list[str]:
    """Return the files whose damage must be found."""
    return [
        name
        for name in files
        if "/checkpoints/" in name or name in ("run/config.json", "model.safetensors")
    ]


def flip(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Flip one bit of a file."""
    name = draw.choice(targets(files))
    data = bytearray(files[name])
    place = draw.randrange(len(data))
    data[place] ^= 1 << draw.randrange(8)
    files[name] = bytes(data)
    return f"bit flipped in byte {place} of {name}", {name}


def overwrite(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Overwrite a part of a file with zeros or random bytes, as a bad sector does."""
    name = draw.choice(targets(files))
    data = bytearray(files[name])
    start = draw.randrange(len(data))
    end = min(len(data), start + draw.randint(1, 512))
    noise = draw.randbytes(end - start)
    data[start:end] = noise if draw.random() < 0.5 else bytes(end - start)
    files[name] = bytes(data)
    return f"bytes {start} to {end} of {name} overwritten", {name}


def truncate(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Cut off the end of a file, or add bytes to it."""
    name = draw.choice([*targets(files), "run/metrics.jsonl"])
    data = files[name]
    if draw.random() < 0.8 or name.endswith(".jsonl"):
        files[name] = data[: draw.randrange(len(data))]
    else:
        files[name] = data + draw.randbytes(draw.randint(1, 64))
    return f"{name} has {len(files[name])} bytes of {len(data)}", {name}


def lose(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Remove a file or a whole checkpoint."""
    name = draw.choice(targets(files))
    if draw.random() < 0.3 and name.count("/") == 3:
        name = name.rsplit("/", 1)[0] + "/"
    for lost in [one for one in files if one.startswith(name)]:
        del files[lost]
    return f"{name} is missing", {name}


def swap(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Swap two files."""
    one, two = draw.sample(targets(files), 2)
    files[one], files[two] = files[two], files[one]
    return f"{one} and {two} swapped", {one, two}


def swap_alike(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Swap two similar things: the pointers, the same file of two checkpoints, or two whole checkpoints."""
    if draw.random() < 0.3:
        one, two = "run/checkpoints/latest", "run/checkpoints/best"
        files[one], files[two] = files[two], files[one]
        return "latest and best swapped", {one, two}
    first, second = (f"run/checkpoints/{stop}/" for stop in draw.sample(STOPS, 2))
    names = [name.removeprefix(first) for name in files if name.startswith(first)]
    chosen = names if draw.random() < 0.5 else [draw.choice(names)]
    for name in chosen:
        files[first + name], files[second + name] = files[second + name], files[first + name]
    return f"{', '.join(chosen)} of {first} and {second} swapped", {first, second}


def mistake(files: Files, draw: random.Random, other: Files) -> Damaged:
    """Replace a file or a whole checkpoint by that of another run."""
    name = draw.choice([name for name in targets(files) if name.startswith("run/")])
    prefix = name.rsplit("/", 1)[0] + "/" if draw.random() < 0.3 and name.count("/") == 3 else name
    for taken in [one for one in files if one.startswith(prefix)]:
        files[taken] = other[taken.removeprefix("run/")]
    return f"{prefix} is that of another run", {prefix}


KINDS: tuple[Callable[[Files, random.Random, Files], Damaged], ...] = (
    flip,
    overwrite,
    flip,
    truncate,
    lose,
    swap,
    swap_alike,
    mistake,
)


# Reading


def read_all(
    case: Path, truth: Truth, what: str, touched: set[str], files: Files
) -> tuple[bool, bool]:
    """Read the damaged files in every way.

    Returns:
        Whether any way noticed the damage, and whether training fell back to an older checkpoint.

    Raises:
        AssertionError: damaged data was accepted, or an error did not name the damaged file.
    """
    run, noticed = case / "run", False
    readers: list[tuple[str, Callable[[], Learner], Learner]] = [
        ("the latest", lambda: load_model(run, "latest"), truth.latest),
        ("the best", lambda: load_model(run, "best"), truth.best),
        ("a model file", lambda: load_model(case / "model.safetensors"), truth.alone),
    ]
    for update, learner in truth.checkpoints.items():
        readers.append(
            (
                f"checkpoint {update}",
                lambda update=update: load_model(run / "checkpoints" / str(update)),
                learner,
            )
        )
    alone = [name for name in readers if name[0].startswith("checkpoint")]
    for name, read, wanted in readers:
        its_own = {"a model file": "model.safetensors", "the latest": "run/", "the best": "run/"}
        place = its_own.get(name, f"run/checkpoints/{name.rsplit(' ', 1)[-1]}/")
        if not any(one.startswith(place) or place.startswith(one) for one in touched):
            continue  # nothing that it reads is damaged
        learner = attempt(name, read, what, touched)
        if learner is None:
            noticed = True
        elif not same(learner, wanted):
            # Without its run, an intact file in the place of another one cannot be noticed.
            whole = any(same(learner, other) for _, _, other in alone)
            whole = whole or files.get("model.safetensors") in truth.files.values()
            foreign = what.endswith(WHOLE_OF_ANOTHER) or (whole and "swapped" in what)
            alone_read = name.startswith(("checkpoint", "a model file"))
            if not (alone_read and foreign):
                raise Silent(f"{name} loaded silently: {what}")
    if not any(one.startswith("run/") for one in touched):
        return noticed, False
    view = attempt("a look at the run", lambda: read_run(run), what, touched)
    if view is None:
        noticed = True
    elif what != OTHERS_CONFIG and (view.config, view.text) != (truth.view.config, truth.view.text):
        raise Silent(f"a look at the run showed other settings silently: {what}")
    resumed = attempt("resume", lambda: resumed_learner(run, truth, truth.latest), what, touched)
    if resumed is not None:
        if not same_but_for_the_end(resumed, truth.latest):
            raise Silent(f"resumed silently: {what}")
        return noticed, False
    return True, fell_back(case, truth, what, touched, files)


def fell_back(case: Path, truth: Truth, what: str, touched: set[str], files: Files) -> bool:
    """Resume with a fallback allowed, and return True if training continued from the newest intact checkpoint."""
    whole = [
        update
        for update in STOPS
        if all(
            files.get(name) == data
            for name, data in truth.files.items()
            if name.startswith(f"run/checkpoints/{update}/")
        )
    ]
    wanted = truth.checkpoints[max(whole, default=STOPS[0])]
    learner = attempt(
        "resume, allowed to fall back",
        lambda: resumed_learner(case / "run", truth, wanted, allow_older=True),
        what,
        touched,
    )
    if learner is None:
        assert not whole or "run/config.json" in touched, f"no fallback: {what}"
        return False
    # An event says that the factor was changed after the first checkpoint. It counts after a fallback too.
    factor = learner.learning_rate_factor if "run/events.jsonl" in touched else WILD
    steered = dataclasses.replace(wanted, learning_rate_factor=factor)
    assert same_but_for_the_end(learner, steered), (
        f"fell back to what is not the newest whole: {what}"
    )
    again = load_model(case / "run", "latest")
    assert again.update == wanted.update, f"a fallback that was not kept: {what}"
    return True


def resumed_learner(run: Path, truth: Truth, wanted: Learner, allow_older: bool = False) -> Learner:
    """Return the learner with which training would continue; with `allow_older`, require a warning.

    If a warning says that a damaged best checkpoint was given up, the learner gets the best loss of `wanted`.
    """
    writer, learner, _ = reopen(run, text=[truth.text], allow_older=allow_older)
    with writer:
        warnings = " ".join(writer.warnings)
    assert warnings or not allow_older, "fell back without a word"
    if "the best model is determined again" in warnings and learner.best_update is None:
        learner.best_loss, learner.best_update = wanted.best_loss, wanted.best_update
    return learner


def attempt(name: str, read: Callable[[], Result], what: str, touched: set[str]) -> Result | None:
    """Return the result of `read`; None if it raised an error that names the damaged file."""
    try:
        return read()
    except (DamagedError, NotAModelError) as error:
        require_named(str(error), touched, f"{what}, and {name} said: {error}")
    except TextError as error:
        assert "run/config.json" in touched, f"{what}, and {name} said: {error}"
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{what}, and {name} broke: {error!r}") from error
    return None


def require_named(message: str, touched: set[str], what: str) -> None:
    """Raise AssertionError unless an error names a damaged file, or gives its path or its checkpoint's."""
    names = set()
    for place in touched:
        path = place.rstrip("/")
        names.add(path)
        if path.count("/") == 3:  # a file of a checkpoint
            names |= {path.rpartition("/")[0], Path(path).name}
        elif path.endswith((".json", ".jsonl", ".safetensors")):
            names.add(Path(path).name)
    assert any(name in message for name in names), f"does not name what is damaged: {what}"


def same(one: Learner, two: Learner) -> bool:
    """Return True if all bits of two learners are equal."""
    return vars_of(one) == vars_of(two)


def same_but_for_the_end(one: Learner, two: Learner) -> bool:
    """Return True if two learners are equal except for the end of the run in their settings."""
    ends = {name: getattr(two.config, name) for name in EXTENDABLE}
    moved = dataclasses.replace(one, config=dataclasses.replace(one.config, **ends))
    return same(moved, two)


def vars_of(learner: Learner) -> dict[str, object]:
    """Return all fields of a learner as values that can be compared with ==."""
    values = dict(vars(learner))
    values["vocabulary"] = learner.vocabulary.characters
    for field in ("parameters", "state"):
        values[field] = {name: array.tobytes() for name, array in values[field].items()}
    values["slots"] = {
        slot: {name: array.tobytes() for name, array in arrays.items()}
        for slot, arrays in learner.slots.items()
    }
    if learner.ngrams:  # those that are stored, of the whole text
        tensors = tensors_of_ngrams(learner.ngrams)
        values["ngrams"] = {name: array.tobytes() for name, array in tensors.items()}
    return values
