"""Writes the sentences of the report, with the numbers of the run.

The functions take data and return paragraphs without markup. They know nothing about HTML or files.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

from charloom.config import Config
from charloom.formatting import (
    THIN,
    bits_per_character,
    count,
    counted,
    decimals,
    listing,
    number_of,
    one_of,
    power_of_ten,
    scientific,
)
from charloom.gradient_check import NORM_LIMITS, GradientCheck, Row
from charloom.report.records import Record, Records
from charloom.report.samples import Samples
from charloom.report.validation_coverage import JudgedPart
from charloom.report.writer import Writer
from charloom.training import Sample
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.order_message import order_sentence
from charloom.training.search_plot_range import plot_range


def gradient_story(checks: Sequence[GradientCheck]) -> list[str]:
    """Return paragraphs about the results of the gradient checks."""
    failed = [check for check in checks if not check.passed]
    if failed:
        verdicts = " ".join(check.verdict().replace("\n", " ") for check in failed)
        return [f"{len(failed)} of {counted(len(checks), 'check')} failed. {verdicts}"]
    rows = [(check, row) for check in checks for row in check.rows]
    parts = []
    for dtype in dict.fromkeys(check.settings.dtype for check in checks):
        of_dtype = [pair for pair in rows if pair[0].settings.dtype == dtype]
        check, row = max(of_dtype, key=lambda pair: pair[1].norm_relative)
        parts.append(
            f"In {dtype} the largest norm-relative error is {scientific(row.norm_relative)}: that of "
            f"{row.parameter} ({size(check)}, engine {check.settings.engine}). The limit is "
            f"{scientific(row.norm_limit)}."
        )
    parameters = listing(list(dict.fromkeys(row.parameter for _, row in rows)))
    paragraphs = [
        f"The gradient that backpropagation through time computes is right. "
        f"{number_of(len(checks), 'check').capitalize()} compared it with the complex step, at "
        f"{count(sum(check.checked for check in checks))} entries of {parameters}. {' '.join(parts)}"
    ]
    if any(row.norm_limit > NORM_LIMITS[check.settings.dtype] for check, row in rows):
        check, row = max(rows, key=lambda pair: pair[1].rounding)
        paragraphs.append(
            f"One network is very sensitive ({size(check)}, {initial_values_text(check)}). Rounding its "
            f"parameters once changes the exact gradient of {row.parameter} by a norm-relative "
            f"{scientific(row.rounding)}. The limits are therefore wider: up to thirty times this change."
        )
    return paragraphs


def search_story(search: LearningRateSearch, config: Config) -> list[str]:
    """Return paragraphs about the search for the learning rate of a run with the settings `config`."""
    first, last = search.rounds[0], search.rounds[-1]
    found = dict(zip(last.learning_rates, last.losses, strict=True)).get(search.learning_rate)
    lowest = "" if found is None else f", {decimals(found, 3)} nats per {one_of(config.tokens)}"
    paragraphs = [
        f"Before training, the learning rate was chosen by short trials. Copies of the network were trained "
        f"at {number_of(len(first.learning_rates), 'rate')} from {first.learning_rates[0]:g} to "
        f"{first.learning_rates[-1]:g}, and the best of them were trained further. Then rates beside the best one were tried too. At the chosen rate, "
        f"{search.learning_rate:g}, the training loss after {counted(last.updates, 'update')} was the "
        f"lowest{lowest}. Each loss is the mean over the second half of a trial."
    ]
    if left_out := plot_range(search).left_out:
        paragraphs[0] += (
            f" The plot ends before {left_out[0]:g}: from there on, the loss grew or was not finite."
        )
    if config.learning_rate != search.learning_rate:
        paragraphs.append(f"The run itself has the learning rate {config.learning_rate:g}.")
    return paragraphs


def central_story(checks: Sequence[GradientCheck]) -> list[str]:
    """Return paragraphs that explain the errors of central differences and give the smallest errors."""
    right = [check for check in checks if check.passed]
    best = ""
    if right:
        check = max(right, key=lambda check: check.settings.hidden_size)
        row = max(check.rows, key=lambda row: row.central.norm_relative)
        best = (
            f" The best step is where a curve is lowest. For {row.parameter} ({size(check)}, "
            f"{check.settings.dtype}) it is {power_of_ten(row.central.step)}, and even there the error is "
            f"{scientific(row.central.norm_relative)}."
        )
    why = (
        f"Central differences, (f(θ + s) - f(θ - s)) / 2s, are less exact. They subtract two losses that "
        f"agree in almost every digit. A smaller step leaves fewer digits of the difference: this rounding "
        f"error grows as the step shrinks. With a larger step, the loss bends between the two points: this "
        f"truncation error grows with the square of the step.{best} The complex step, Im f(θ + ih) / h "
        f"with h = 10⁻²⁰, subtracts nothing. So it has no rounding error of this kind."
    )
    if len(right) < len(checks):
        return [why]
    sizes = smallest_and_largest(checks)
    growth, seeming = (
        "",
        "Compared with central differences, a right gradient can therefore seem to be wrong.",
    )
    if sizes is not None:
        small, large = sizes
        before, after = matrix(small), matrix(large)
        exact = max(
            row.norm_relative
            for check in checks
            for row in check.rows
            if check.settings.dtype == large.settings.dtype and row.parameter == after.parameter
        )
        if after.central.norm_relative > GROWN * before.central.norm_relative:
            seeming = "For larger networks, the gradient can therefore seem to be wrong."
        growth = (
            f"In {large.settings.dtype} the best central difference of {after.parameter} has an error of "
            f"{scientific(before.central.norm_relative)} in the small network ({size(small)}), and of "
            f"{scientific(after.central.norm_relative)} in the large one ({size(large)}). The gradient stays "
            f"within {scientific(exact)} of the complex step in both. "
        )
    return [
        why,
        f"{growth}{seeming} But the difference is rounding in the central differences.",
    ]


# The error of the larger network, as a factor of that of the smaller one, from which on the text says that it grows.
GROWN: Final = 1.5

# The settings of a gradient check that are sizes, each with the same value 0. If these values replace the
# sizes of two checks and all settings are then equal, the checks differ only in their sizes.
SIZES: Final[dict[str, Any]] = {"hidden_size": 0, "seq_length": 0, "batch_size": 0, "entries": 0}


def smallest_and_largest(
    checks: Sequence[GradientCheck],
) -> tuple[GradientCheck, GradientCheck] | None:
    """Return two of `checks` that differ only in the size of the network.

    The first has the smaller network. Return None if there are no two such checks.
    """
    for large in sorted(checks, key=lambda check: -check.settings.hidden_size):
        for small in sorted(checks, key=lambda check: check.settings.hidden_size):
            a, b = small.settings, large.settings
            same = dataclasses.replace(a, **SIZES) == dataclasses.replace(b, **SIZES)
            if same and a.hidden_size < b.hidden_size:
                return small, large
    return None


def matrix(check: GradientCheck) -> Row:
    """Return the row of `check` for the parameter W, or its last row if it has no W."""
    return next((row for row in check.rows if row.parameter == "W"), check.rows[-1])


def size(check: GradientCheck) -> str:
    """Return the sizes of the checked network as text, such as "H = 100, T = 25"."""
    s = check.settings
    sizes = {"H": s.hidden_size, "T": s.seq_length, "B": s.batch_size, "L": s.layers}
    parts = [f"{name}{THIN}={THIN}{n}" for name, n in sizes.items() if n > 1 or name in "HT"]
    return ", ".join(parts if s.cell == "rnn" else [s.cell.upper(), *parts])


def initial_values_text(check: GradientCheck) -> str:
    """Return as text how the checked network was initialized, and its dropout if it has any.

    An example is "sigma 0.01, h0 zero".
    """
    s = check.settings
    weights = f"sigma {s.sigma:g}" if s.init == "normal" else f"init {s.init}"
    dropout = f", dropout {s.dropout:g}" if s.dropout else ""
    return f"{weights}, h0 {s.state}{dropout}"


def worst_entry(row: Row) -> str:
    """Return the name and index of the entry with the largest error, such as W[3, 17]."""
    return f"{row.parameter}[{', '.join(map(str, row.worst.index))}]"


def loss_story(
    records: Records,
    config: Config,
    vocabulary_size: int,
    part: JudgedPart | None = None,
    kept: int | None = None,
) -> list[str]:
    """Return paragraphs about the smooth loss and the validation loss.

    Args:
        records: the records of the run.
        config: the settings of the run.
        vocabulary_size: number K of distinct characters.
        part: how much of the validation part each validation loss uses; None without a validation part.
        kept: update of the best checkpoint; None if there is none.
    """
    T, first, last = config.seq_length, records.first, records.last
    K = count(vocabulary_size)
    tokens, one = config.tokens, one_of(config.tokens)
    uniform_loss = T * math.log(max(vocabulary_size, 1))
    epochs = f"{last.epoch:.2f}".removesuffix(".00")
    fall = [
        f"At update {count(first.update)} the smooth loss is {decimals(first.smooth_loss, 2)} nats per "
        f"window of {count(T)} {tokens}. If all {K} {tokens} had the same probability, it would be "
        f"{count(T)} ln {K} = {uniform_loss:.2f}.",
        fall_story(records, T, one),
        f"The last record, at update {count(last.update)} after "
        f"{epochs} {'epoch' if epochs == '1' else 'epochs'}, has a smooth loss of {decimals(last.smooth_loss, 2)}.",
    ]
    training = records.training
    if (early := records.recent.sentence(one, with_mean=training.epoch is None)) is not None:
        fall.append(early)
    how, mean = [order_sentence(config)], training.nats
    if mean is not None and training.epoch is not None:
        how.append(
            f"The training loss is {mean:.3f} nats, or {mean / math.log(2):.3f} bits, per {one}: the mean of epoch "
            f"{training.epoch}, the last complete one"
            f"{'.' if config.validation or config.test else '; the run has no validation part.'}"
        )
    if records.ends:
        how.append(crosses_story(records))
    return [" ".join(fall), " ".join(how), *evaluation_story(records, config, part, kept)]


def fall_story(records: Records, seq_length: int, one: str) -> str:
    """Return one or two sentences about the decrease of the smooth loss.

    They give the lowest smooth loss and, if an epoch has ended, how much of the decrease was reached at the
    end of the first epoch.

    Args:
        records: the records of the run.
        seq_length: sequence length T, to convert nats per window to bits.
        one: unit of prediction: character or byte.
    """
    first, lowest = records.first.smooth_loss, records.lowest
    bits = f"{decimals(bits_per_character(lowest.smooth_loss, seq_length), 2)} bits per {one}"
    where = f"{decimals(lowest.smooth_loss, 2)} at update {count(lowest.update)}"
    fall = first - lowest.smooth_loss
    if not records.ends or fall <= 0:
        return f"The lowest value is {where}, which is {bits}."
    end = records.ends[0]
    return (
        f"The first epoch ends at {decimals(end.smooth_loss, 2)} (update {count(end.update)}). This is "
        f"{(first - end.smooth_loss) / fall:.0%} of the way to the lowest value, {where}, which is "
        f"{bits}."
    )


def crosses_story(records: Records) -> str:
    """Return a sentence about the red crosses, which mark the ends of epochs in the plot."""
    shown = len(records.crosses)
    if shown < records.epochs:
        return f"Red crosses mark the ends of {count(shown)} of {count(records.epochs)} epochs."
    if shown == 1:
        return "The red cross marks the end of an epoch."
    return f"The {number_of(shown, 'red cross', 'red crosses')} mark the ends of epochs."


def evaluation_story(
    records: Records, config: Config, part: JudgedPart | None, kept: int | None
) -> list[str]:
    """Return a list with one paragraph about the validation losses; an empty list if there are none.

    Args:
        records: the records of the run.
        config: the settings of the run.
        part: how much of the validation part each validation loss uses; None without a validation part.
        kept: update of the best checkpoint; None if there is none.
    """
    best = records.best
    if best is None or best.validation_nats is None:
        return []
    nats, last = best.validation_nats, records.judged[-1]
    where = "each stream" if config.split == "streams" else "the text"
    sentences = [
        f"The validation part is the last {100 * config.validation:.3g}% of {where}, which the model was not "
        f"trained on. The validation loss was computed {number_of(records.judgements, 'time')}.{share_story(part, config)} "
        f"It is lowest after update {count(best.update)}: {nats:.4f} nats or "
        f"{bits_per_character(nats):.4f} bits per {one_of(config.tokens)}, a perplexity of "
        f"{perplexity_text(nats)}."
    ]
    # If `kept` is before the update with the lowest loss, the checkpoint of this update need not be lost:
    # while a run is training, its file `best` may still name the previous best checkpoint.
    if kept is not None and kept > best.update:
        sentences.append(
            f"The checkpoint of that update is lost; the best remaining checkpoint is that of update "
            f"{count(kept)}."
        )
    if last is not best and last.validation_nats is not None:
        sentences.append(
            f"The last validation loss, after update {count(last.update)}, is {last.validation_nats:.4f} nats "
            f"or {bits_per_character(last.validation_nats):.4f} bits."
        )
    if part is not None and part.whole is not None:
        update, nats = part.whole.update, part.whole.nats
        sentences.append(
            f"On all {count(part.held_out)} {config.tokens} of the validation part, the loss of the model "
            f"of update {count(update)} is {nats:.4f} nats or {bits_per_character(nats):.4f} bits."
        )
    return [" ".join(sentences)]


def share_story(part: JudgedPart | None, config: Config) -> str:
    """Return a sentence that says how much of the validation part each validation loss uses.

    Return an empty string if each validation loss uses the whole part.
    """
    if part is None or part.is_whole:
        return ""
    return (
        f" Each time, {count(part.predicted)} of its {count(part.held_out)} {config.tokens} were "
        f"predicted, spread evenly over it."
    )


def samples_story(samples: Sequence[Sample], drawn: int, last_record: Record | None) -> list[str]:
    """Return a paragraph that compares the first and the last sample.

    Args:
        samples: the samples that are shown.
        drawn: number of all samples of the run.
        last_record: the record at or before the last sample; None if there is none.
    """
    first, last = samples[0], samples[-1]
    lengths = {len(sample.text) for sample in samples}
    of = f"of {count(lengths.pop())} characters each" if len(lengths) == 1 else "of several lengths"
    if len(samples) == 1:
        return [
            f"There is one sample so far, written {update_phrase(first)}. It has {text_statistics(first.text)}."
        ]
    reached = (
        ""
        if last_record is None
        else f", with a smooth loss of {decimals(last_record.smooth_loss, 2)}"
    )
    shown = "" if len(samples) == drawn else f" {count(len(samples))} of them are shown."
    return [
        f"The network wrote {number_of(drawn, 'sample')} {of} during training.{shown} The first, "
        f"{update_phrase(first)}, has {text_statistics(first.text)}. The last, "
        f"{update_phrase(last)}{reached}, has {text_statistics(last.text)}."
    ]


def kept_records_sentence(records: Records | None) -> str:
    """Return a sentence that says which losses a report shows when records of the run are damaged or lost.

    `records` are the records that remain; None if no record remains.
    """
    if records is None:
        return "The report shows no losses."
    return (
        f"The report shows the losses of the remaining records, up to update "
        f"{count(records.last.update)}."
    )


def kept_samples_sentence(samples: Samples) -> str:
    """Return a sentence that says how many samples remain when samples of the run are damaged or lost.

    `samples` are the samples that remain.
    """
    if not samples.shown:
        return "The report shows no samples."
    left = "sample" if samples.drawn == 1 else f"{count(samples.drawn)} samples"
    return f"The report shows the remaining {left}, up to update {count(samples.shown[-1].update)}."


def update_phrase(sample: Sample) -> str:
    """Return a phrase that says when `sample` was written: "at update 1,000" or "before the first update"."""
    return f"at update {count(sample.update)}" if sample.update else "before the first update"


def text_statistics(text: str) -> str:
    """Return a phrase with the number of different characters, the share of white space and the mean
    word length of `text`."""
    words = text.split()
    mean = sum(map(len, words)) / max(len(words), 1)
    spaces = sum(character.isspace() for character in text)
    return (
        f"{number_of(len(set(text)), 'different character')}, {spaces / max(len(text), 1):.0%} white "
        f"space, and {mean:.1f} characters per word on average"
    )


def perplexity_text(nats: float) -> str:
    """Return the perplexity, the exponential of `nats`, as text.

    Return "more than a million" if it is a million or more: after training diverged, the perplexity can
    be too large for a number.
    """
    return f"{math.exp(nats):,.1f}" if nats < math.log(1e6) else "more than a million"


def passage_story(passage: str, writer: Writer, config: Config, vocabulary_size: int) -> list[str]:
    """Return a list with one paragraph about the passage of a run and the model that wrote it.

    Args:
        passage: the text of the passage, the long sample that a run writes at its end.
        writer: the model that wrote it.
        config: the settings of the run.
        vocabulary_size: number K of distinct characters.
    """
    words = passage.split()
    different, lines = len(set(words)), number_of(len(passage.splitlines()), "line")
    return [
        f"{counted(len(passage), 'character')}, written by "
        f"{writer_story(writer, config, vocabulary_size)}. The passage has "
        f"{counted(len(words), 'word')}, {count(different)} of them "
        f"different, in {lines}. It has {text_statistics(passage)}."
    ]


WRITERS: Final = {
    "latest": "the latest model",
    "best": "the model with the lowest validation loss",
    "lowest": "the model with the lowest smooth loss",
    "unknown": "a model of this run",
}


def writer_story(writer: Writer, config: Config, vocabulary_size: int) -> str:
    """Return a phrase about `writer`, the model that wrote the long sample at the end of a run.

    If the run still has the record of this model's update, the phrase contains the model's loss.
    """
    who, record = WRITERS[writer.which], writer.record
    if writer.update is None:
        return f"{who}; the run does not record which one"
    model = f"{who}: that of update {count(writer.update)}"
    if record is None:
        return model
    one, nats = one_of(config.tokens), record.validation_nats
    if nats is None:
        nats = record.smooth_loss / config.seq_length
        bits = f"{decimals(bits_per_character(nats), 2)} bits per {one}"
        loss = f"{decimals(record.smooth_loss, 2)} nats per window, or {bits}"
    else:
        bits = f"{decimals(bits_per_character(nats), 2)} bits"
        loss = f"{nats:.3f} nats, or {bits}, per {one} on the validation part"
    return (
        f"{model}, with {loss}. It is as uncertain about "
        f"the next {one} as if it chose one of {perplexity_text(nats)} with equal probability; the vocabulary has "
        f"{count(vocabulary_size)}"
    )


def gradient_notes(checks: Sequence[GradientCheck]) -> list[str]:
    """Return a list with one note on the gradient checks, which says how the checked entries were chosen."""
    seeds = listing([str(seed) for seed in dict.fromkeys(c.settings.seed for c in checks)])
    texts = listing([text for text in dict.fromkeys(c.settings.text for c in checks) if text])
    window = f"the first window of {texts}" if texts else "a random window"
    return [
        f"The checks use new networks, as at the start of training, on {window}. The checked entries "
        f"were drawn at random with seed {seeds}. Half of those of U in the first layer are in columns of "
        f"characters in the window, as all other columns have a gradient of zero.",
    ]


COLUMN_NOTE: Final = (
    "U multiplies the input, W the hidden state of the step before, and V the hidden state for the output; the other "
    "parameters are biases. H is the number of hidden units, T that of the steps. a is the gradient by backpropagation, n the numerical one. Norm-relative: ‖a − n‖ / (‖a‖ + ‖n‖). Absolute: the "
    "largest |a − n|. Elementwise: the largest |a − n| / (|a| + |n|), where the denominator is at least 10⁻⁴ of the "
    "largest entry; the worst entry is the one where it is largest. Central differences are shown at their best step. "
    "sigma is the standard deviation of the initial weights, and h0 the hidden state before the first step."
)
"""What the rows and columns of the tables of gradient checks mean."""
