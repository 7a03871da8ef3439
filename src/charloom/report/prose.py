"""Writes the sentences of the report: each number in them is taken from the run.

It knows nothing of HTML or files: plain data in, plain paragraphs out.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

from charloom.config import Config
from charloom.gradcheck import NORM_LIMITS, GradientCheck, Row
from charloom.report.judged import JudgedPart
from charloom.report.records import Record, Records
from charloom.report.samples import Sample, Samples
from charloom.report.writer import Writer
from charloom.spelling import (
    THIN,
    bits_per_character,
    count,
    counted,
    listing,
    number_of,
    one_of,
    power_of_ten,
    scientific,
)


def gradient_story(checks: Sequence[GradientCheck]) -> list[str]:
    """What the gradient checks show."""
    failed = [check for check in checks if not check.passed]
    if failed:
        verdicts = " ".join(check.verdict().replace("\n", " ") for check in failed)
        return [f"Of {number_of(len(checks), 'check')} {len(failed)} failed. {verdicts}"]
    rows = [(check, row) for check in checks for row in check.rows]
    parts = []
    for dtype in dict.fromkeys(check.settings.dtype for check in checks):
        check, row = max(of_dtype(rows, dtype), key=lambda pair: pair[1].norm_relative)
        parts.append(
            f"{scientific(row.norm_relative)} in {dtype} ({row.parameter} at {size(check)}, engine "
            f"{check.settings.engine}; the limit is {scientific(row.norm_limit)})"
        )
    check, row = max(of_dtype(rows, checks[0].settings.dtype), key=lambda pair: pair[1].elementwise)
    parameters = listing(list(dict.fromkeys(row.parameter for _, row in rows)))
    paragraphs = [
        f"The gradient that backpropagation through time computes is right: over "
        f"{count(sum(check.checked for check in checks))} entries of {parameters} it differs "
        f"from the complex step, norm-relative, by at most {listing(parts)}. The worst single entry "
        f"in {check.settings.dtype} is {entry(row)} at {size(check)}: "
        f"{scientific(row.worst.analytic)}, with an elementwise-relative error of "
        f"{scientific(row.elementwise)}."
    ]
    if any(row.norm_limit > NORM_LIMITS[check.settings.dtype] for check, row in rows):
        check, row = max(rows, key=lambda pair: pair[1].rounding)
        paragraphs.append(
            f"At {size(check)} with {beginning(check)} the network is so sensitive that "
            f"one rounding of its parameters moves the exact gradient of {row.parameter} by "
            f"{scientific(row.rounding)}, norm-relative; the limits give way to thirty times that."
        )
    return paragraphs


def of_dtype(
    rows: Sequence[tuple[GradientCheck, Row]], dtype: str
) -> list[tuple[GradientCheck, Row]]:
    """The rows, each with its check, whose gradients are of this dtype."""
    return [(check, row) for check, row in rows if check.settings.dtype == dtype]


def central_story(checks: Sequence[GradientCheck]) -> list[str]:
    """Why central differences come no nearer, with the best that they did here."""
    right = [check for check in checks if check.passed]
    best = ""
    if right:
        check = max(right, key=lambda check: check.settings.hidden_size)
        row = max(check.rows, key=lambda row: row.central.norm_relative)
        best = (
            f"; between the two arms of the V they come no nearer than "
            f"{scientific(row.central.norm_relative)} for {row.parameter} at {size(check)} in "
            f"{check.settings.dtype}, with the step {power_of_ten(row.central.step)}"
        )
    why = (
        f"Central differences are no such measure. They subtract two losses that agree in almost "
        f"every digit: a smaller step leaves fewer digits of the difference (rounding, which grows "
        f"as the step shrinks), a larger one runs into the curvature of the loss (truncation, which "
        f"grows with the step’s square){best}. The complex step, Im f(θ + ih)/h with h = 10⁻²⁰, "
        f"subtracts nothing and has no V."
    )
    if len(right) < len(checks):
        return [why]
    small, large = smallest_and_largest(checks)
    growth = ""
    if small is not None and large is not None:
        before, after = matrix(small), matrix(large)
        growth = (
            f"From {size(small)} to {size(large)} in {large.settings.dtype} the best central "
            f"difference of {after.parameter} goes from {scientific(before.central.norm_relative)} "
            f"to {scientific(after.central.norm_relative)}, while the gradient stays within "
            f"{scientific(max(before.norm_relative, after.norm_relative))} of the complex step. "
        )
    return [
        why,
        f"{growth}What looks like a gradient that diverges for bigger networks is rounding in the "
        f"numerical side: both sides start from the same h0, and the gradient itself is exact.",
    ]


# What a size is made of; two settings that are equal with these put in differ in size alone.
SIZES: Final[dict[str, Any]] = {"hidden_size": 0, "seq_length": 0, "batch_size": 0, "entries": 0}


def smallest_and_largest(
    checks: Sequence[GradientCheck],
) -> tuple[GradientCheck | None, GradientCheck | None]:
    """Two right checks that differ in size and in nothing else, if there are any."""
    right = [check for check in checks if check.passed]
    for large in sorted(right, key=lambda check: -check.settings.hidden_size):
        for small in sorted(right, key=lambda check: check.settings.hidden_size):
            a, b = small.settings, large.settings
            same = dataclasses.replace(a, **SIZES) == dataclasses.replace(b, **SIZES)
            if same and a.hidden_size < b.hidden_size:
                return small, large
    return None, None


def matrix(check: GradientCheck) -> Row:
    """The row of W, or the last one where a check has no W."""
    return next((row for row in check.rows if row.parameter == "W"), check.rows[-1])


def size(check: GradientCheck) -> str:
    """The size of the network that was checked."""
    s = check.settings
    sizes = {"H": s.hidden_size, "T": s.seq_length, "B": s.batch_size, "L": s.layers}
    told = [f"{name}{THIN}={THIN}{n}" for name, n in sizes.items() if n > 1 or name in "HT"]
    return ", ".join(told if s.cell == "rnn" else [s.cell.upper(), *told])


def beginning(check: GradientCheck) -> str:
    """What the network that was checked began with."""
    s = check.settings
    weights = f"sigma {s.sigma:g}" if s.init == "normal" else f"init {s.init}"
    dropout = f", dropout {s.dropout:g}" if s.dropout else ""
    return f"{weights}, h0 {s.state}{dropout}"


def entry(row: Row) -> str:
    """The worst entry of a parameter: W[3, 17]."""
    return f"{row.parameter}[{', '.join(map(str, row.worst.index))}]"


def loss_story(
    records: Records,
    config: Config,
    vocabulary_size: int,
    part: JudgedPart | None = None,
    kept: int | None = None,
) -> list[str]:
    """How the smooth loss ran: where it began, fell, was lowest and ended; and how it was judged.

    Args:
        kept: the update of the best checkpoint; None where there is none.
    """
    T, first, last = config.seq_length, records.first, records.last
    tokens, one = config.tokens, one_of(config.tokens)
    knows_nothing = T * math.log(max(vocabulary_size, 1))
    sentences = [
        f"At update {count(first.update)} the smooth loss is {first.smooth_loss:.2f} nats per "
        f"window of {T} {tokens}; to know nothing about {vocabulary_size} {tokens} costs "
        f"{T} ln {vocabulary_size} = {knows_nothing:.2f}.",
        fall_story(records, T, one),
    ]
    epochs = f"{last.epoch:.2f}".removesuffix(".00")
    sentences.append(
        f"The last record, at update {count(last.update)} after "
        f"{epochs} {'epoch' if epochs == '1' else 'epochs'}, stands at {last.smooth_loss:.2f}."
    )
    mean = records.last_epoch_nats
    if mean is not None:
        sentences.append(
            f"Over the last whole epoch the text cost {mean:.3f} nats, or "
            f"{mean / math.log(2):.3f} bits, per {one}"
            f"{'.' if config.validation or config.test else '; no part of it was held out.'}"
        )
    if records.ends:
        sentences.append(crosses_story(records))
    return [" ".join(sentences), *judged_story(records, config, part, kept)]


def fall_story(records: Records, seq_length: int, one: str) -> str:
    """How far the smooth loss fell, and what the first epoch has of it."""
    first, lowest = records.first.smooth_loss, records.lowest
    bits = f"{bits_per_character(lowest.smooth_loss, seq_length):.2f} bits per {one}"
    where = f"{lowest.smooth_loss:.2f} at update {count(lowest.update)}"
    fall = first - lowest.smooth_loss
    if not records.ends or fall <= 0:
        return f"The lowest value is {where}, which is {bits}."
    end = records.ends[0]
    return (
        f"The first epoch ends at {end.smooth_loss:.2f} (update {count(end.update)}) and brings "
        f"{(first - end.smooth_loss) / fall:.0%} of the way to the lowest value, {where}, which is "
        f"{bits}."
    )


def crosses_story(records: Records) -> str:
    """What the red crosses in the picture are."""
    shown = len(records.ends)
    if shown < records.epochs:
        return f"Of {count(records.epochs)} epochs {count(shown)} have a red cross at their end."
    if shown == 1:
        return "The red cross marks where an epoch ends."
    return f"The {number_of(shown, 'red cross', 'red crosses')} mark where an epoch ends."


def judged_story(
    records: Records, config: Config, part: JudgedPart | None, kept: int | None
) -> list[str]:
    """How the model did on the validation part; no paragraph where it was never judged."""
    best = records.best
    if best is None or best.validation_nats is None:
        return []
    nats, last = best.validation_nats, records.judged[-1]
    where = "each stream" if config.split == "streams" else "the text"
    sentences = [
        f"The end of {where} was held out, {100 * config.validation:.3g}% of it: the model never learns from "
        f"this validation part and was judged on it {number_of(records.judgements, 'time')}.{share_story(part, config)} At best, after "
        f"update {count(best.update)}, it costs {nats:.4f} nats or "
        f"{bits_per_character(nats):.4f} bits per {one_of(config.tokens)}, a perplexity of "
        f"{choices(nats)}."
    ]
    if (
        kept is not None and kept > best.update
    ):  # of a run at work `best` may still name an earlier one
        sentences.append(
            f"The checkpoint of that update is lost; the best one that is left is that of update "
            f"{count(kept)}."
        )
    if last is not best and last.validation_nats is not None:
        sentences.append(
            f"The last judgement, after update {count(last.update)}, is {last.validation_nats:.4f} nats "
            f"or {bits_per_character(last.validation_nats):.4f} bits."
        )
    if part is not None and part.whole is not None:
        update, nats = part.whole.update, part.whole.nats
        sentences.append(
            f"On all {count(part.held_out)} {config.tokens} of the validation part the model of update "
            f"{count(update)} costs {nats:.4f} nats or {bits_per_character(nats):.4f} bits."
        )
    return [" ".join(sentences)]


def share_story(part: JudgedPart | None, config: Config) -> str:
    """How much of the validation part each judgement reads; empty where it reads all of it."""
    if part is None or part.is_whole:
        return ""
    return (
        f" Each judgement predicts {count(part.predicted)} of its {count(part.held_out)} "
        f"{config.tokens}, spread over it."
    )


def samples_story(samples: Sequence[Sample], drawn: int, last_record: Record | None) -> list[str]:
    """What changes in the samples, from the first to the last.

    Args:
        samples: those that are shown, of all that were `drawn`.
        last_record: the record at or before the last of them.
    """
    first, last = samples[0], samples[-1]
    lengths = {len(sample.text) for sample in samples}
    of = f"of {count(lengths.pop())} characters each" if len(lengths) == 1 else "of several lengths"
    if len(samples) == 1:
        return [f"One sample so far, drawn {moment(first)}: {texture(first.text)}."]
    reached = "" if last_record is None else f", at a smooth loss of {last_record.smooth_loss:.2f}"
    shown = "" if len(samples) == drawn else f" {count(len(samples))} of them are shown."
    return [
        f"{number_of(drawn, 'sample').capitalize()} {of}, drawn from the network as it "
        f"learns.{shown} The first, {moment(first)}, has {texture(first.text)}. The last, "
        f"{moment(last)}{reached}, has {texture(last.text)}."
    ]


def records_left(records: Records | None) -> str:
    """What a report shows of records of which some are damaged or lost."""
    if records is None:
        return "The report has no graph of the smooth loss and no losses."
    return (
        f"The graph and the losses are those of the records that are left, the last of them of update "
        f"{count(records.last.update)}."
    )


def samples_left(samples: Samples) -> str:
    """What a report shows of samples of which some are damaged or lost."""
    if not samples.shown:
        return "The report shows no samples."
    left = (
        "the one sample that is" if samples.drawn == 1 else f"the {count(samples.drawn)} that are"
    )
    return f"The report shows {left} left, up to update {count(samples.shown[-1].update)}."


def moment(sample: Sample) -> str:
    """When a sample was drawn."""
    return f"at update {count(sample.update)}" if sample.update else "before the first update"


def texture(text: str) -> str:
    """What a text is made of, in a few numbers."""
    words = text.split()
    mean = sum(map(len, words)) / max(len(words), 1)
    spaces = sum(character.isspace() for character in text)
    return (
        f"{number_of(len(set(text)), 'different character')}, {spaces / max(len(text), 1):.0%} white "
        f"space, and {mean:.1f} characters on average from one white space to the next"
    )


def choices(nats: float) -> str:
    """The perplexity for people: a loss that ran away has one beyond any number."""
    return f"{math.exp(nats):,.1f}" if nats < math.log(1e6) else "more than a million"


def passage_story(passage: str, writer: Writer, config: Config, vocabulary_size: int) -> list[str]:
    """Which model wrote the passage, and what the passage is made of."""
    words = passage.split()
    different, lines = len(set(words)), number_of(len(passage.splitlines()), "line")
    return [
        f"{counted(len(passage), 'character')}, written by "
        f"{writer_story(writer, config, vocabulary_size)}. The passage has "
        f"{counted(len(words), 'word')}, {count(different)} of them "
        f"different, in {lines}: {texture(passage)}."
    ]


WRITERS: Final = {
    "latest": "the latest model",
    "best": "the model best judged on the validation part",
    "lowest": "the model with the lowest smooth loss",
    "unknown": "a model of this run",
}


def writer_story(writer: Writer, config: Config, vocabulary_size: int) -> str:
    """Which model wrote the passage, and how well it predicts; figures only where its record is left."""
    who, record = WRITERS[writer.which], writer.record
    if writer.update is None:
        return f"{who}; which one, nothing in the run tells any more"
    told = f"{who}: that of update {count(writer.update)}"
    if record is None:
        return told
    one, nats = one_of(config.tokens), record.validation_nats
    loss = f"{nats or 0.0:.3f} nats on the validation part"
    if nats is None:
        nats = record.smooth_loss / config.seq_length
        loss = f"{record.smooth_loss:.2f} nats per window"
    return (
        f"{told}, with {loss}, or {bits_per_character(nats):.2f} bits per {one}. It is as unsure of the "
        f"next {one} as if it chose evenly among {choices(nats)}, where the text has "
        f"{count(vocabulary_size)}"
    )


def gradient_notes(checks: Sequence[GradientCheck]) -> list[str]:
    """How to read the table: what was drawn, and what each error is."""
    seeds = listing([str(seed) for seed in dict.fromkeys(c.settings.seed for c in checks)])
    texts = listing([text for text in dict.fromkeys(c.settings.text for c in checks) if text])
    window = f"the first window of {texts}" if texts else "a random window"
    return [
        f"The networks are fresh, as training begins with, on {window}. "
        f"Entries are drawn by seed {seeds}; half of those of the first layer’s U lie in columns that "
        f"the window reads, for the others have gradient zero. Norm-relative: ‖a − n‖ / (‖a‖ + ‖n‖). "
        f"Absolute: the largest |a − n|. Elementwise: the largest |a − n| / (|a| + |n|), measured "
        f"against no less than 10⁻⁴ of the largest entry. Central differences are given at their "
        f"best step.",
    ]
