"""Says in sentences what users must know before they compare runs: what is unfinished, damaged or not comparable."""

from collections.abc import Iterator, Mapping, Sequence

from charloom.api.compared_run import ComparedRun
from charloom.evaluation import BLOCK, FEWEST_BLOCKS
from charloom.formatting import count, listing
from charloom.messages import Placeholder, argument, terminal_command


def notes_of(
    runs: Sequence[ComparedRun], names: Sequence[str], remarks: Mapping[int, str]
) -> list[str]:
    """Return the sentences about a comparison. They have marks for arguments and commands (`charloom.messages`).

    Args:
        runs: the runs.
        names: their names.
        remarks: sentences about the evaluations of runs, by the index of the run.
    """
    return [
        *notes_on_texts(runs, names),
        *notes_on_validation(runs, names),
        *notes_on_engines(runs, names),
        *(
            f"{name} {finding}."
            for run, name in zip(runs, names, strict=True)
            for finding in run.findings
        ),
        *(f"{names[n]}: {remark}" for n, remark in remarks.items()),
        *dict.fromkeys(problem for run in runs for problem in run.summary.problems),
    ]


def notes_on_texts(runs: Sequence[ComparedRun], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if the bits of runs cannot be compared, because they are those of different texts."""
    known = [(run, name) for run, name in zip(runs, names, strict=True) if run.settings]
    units = {run.settings.config.tokens for run, _ in known if run.settings}
    if len(units) > 1:
        yield (
            "Some runs predict characters and some predict bytes, so their bits are not comparable: a character may "
            "have several bytes."
        )
    texts = {run.settings.text.fingerprint for run, _ in known if run.settings}
    parts = {run.validation_part for run, _ in known if run.validation_part}
    if len(texts) > 1:
        whose = grouped([(run.settings.text.name, name) for run, name in known if run.settings])
        evaluate = terminal_command("evaluate", Placeholder("RUN"), Placeholder("TEXT"))
        yield (
            f"The runs learned different texts ({whose}), so their bits are not comparable: one text may be easier than "
            f"another. To compare the models, evaluate each on one text that none has learned: {evaluate}."
        )
    elif len(parts) > 1:
        yield (
            "The runs have different validation parts of the same text, so their bits are only roughly comparable. "
            f"Train them with the same {argument('validation')}, {argument('test')} and {argument('split')}; with "
            f"streams also with the same {argument('batch_size')} and {argument('seq_length')}."
        )


def notes_on_validation(runs: Sequence[ComparedRun], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence about runs without a validation part, and about validation parts that are too short."""
    without = [
        name
        for run, name in zip(runs, names, strict=True)
        if run.config is not None and not run.config.validation
    ]
    if without:
        have = "has" if len(without) == 1 else "have"
        yield (
            f"{listing(without)} {have} no validation part, so the bits are those of the training text, the mean of the "
            f"last complete epoch. They do not show how well a model predicts a text that it has not read. Train with "
            f"{argument('validation', 0.1)} to compare models."
        )
    for part in {run.validation_part: None for run in runs if run.validation_part}:
        length = sum(end - start - 1 for start, end in part[3])
        needed = BLOCK * (FEWEST_BLOCKS - 1)
        if length <= needed:
            yield (
                f"A validation part has {count(length)} {part[2]} to predict, too few for an interval, which needs more "
                f"than {count(needed)}."
            )


def notes_on_engines(runs: Sequence[ComparedRun], names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence if different engines trained the runs, because then their times say little."""
    known = [(run.engine, name) for run, name in zip(runs, names, strict=True) if run.engine]
    if len({engine for engine, _ in known}) > 1:
        whose = grouped(known)
        yield f"Different engines trained the runs ({whose}), so compare their seconds with care."


def grouped(pairs: Sequence[tuple[str, str]]) -> str:
    """Return pairs of a value and the name of a run as text, such as "kjv: a and b; python-docs: c"."""
    names: dict[str, list[str]] = {}
    for value, name in pairs:
        names.setdefault(value, []).append(name)
    return "; ".join(f"{value}: {listing(of)}" for value, of in names.items())
