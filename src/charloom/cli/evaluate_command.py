"""The command `evaluate`, which computes how well a model predicts a text."""

import dataclasses
from typing import TYPE_CHECKING, Any

from charloom.cli import model_options
from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    say_reading_problem,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, say_sentences, show, show_json
from charloom.config import DYNAMIC_RATE
from charloom.formatting import one_of

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.baselines import Baselines
    from charloom.evaluation import Evaluation


@takes_settings("seed", "engine", "unknown", "replacement")
def evaluate(
    settings: dict[str, Any],
    model: AModel,
    text: model_options.EvaluatedText = None,
    split: model_options.Split = None,
    streams: model_options.Streams = None,
    separately: model_options.Separately = False,
    dynamic: model_options.Dynamic = False,
    dynamic_rate: model_options.DynamicRate = None,
    baselines: model_options.WithBaselines = False,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Compute how well a model predicts a text.

    Print the cross-entropy per character in nats and bits. The text is read from
    the zero state, and its first character is not predicted. The 95 % interval
    comes from resampling blocks of the text.

    \b
    Example:
      charloom evaluate runs/book --split validation --baselines
    """
    from charloom import api

    choice = api.TextChoice(text or None, split=split, policy=policy_of(settings))
    opened = open_model(model, which, settings)
    explain_terminal_input(text or [])
    models = models_to_evaluate(opened, separately)
    if dynamic_rate is not None and not dynamic:
        say("--dynamic-rate has no effect without --dynamic.")
    part = api.choose_part(opened, choice)
    say_sentences(part.corpus.notes)
    say_reading_problem(opened)
    seed = settings.get("seed", 0)
    results = {
        name: api.evaluate_part(each.learner, each.engine, part, streams, seed)
        for name, each in models.items()
    }
    if dynamic:
        rate = DYNAMIC_RATE if dynamic_rate is None else dynamic_rate
        results["dynamic"] = api.evaluate_part(
            opened.learner, opened.engine, part, seed=seed, dynamic_rate=rate
        )
    others = api.evaluate_baselines(opened, part) if baselines else None
    if as_json:
        about = {**model_identity(model, opened), "unknown": part.corpus.unknown.total}
        show_json({**about, **json_fields(results, others)})
        return
    show(f"model:      {model}, {opened.stage}")
    show_results(results, others, opened.learner.config.tokens)


def models_to_evaluate(opened: "Model", separately: bool) -> "dict[str, Model]":
    """Return the models to evaluate by name: the model and, with `separately`, each of its two parts.

    Raises:
        ConfigError: `separately` is True, and the model has no n-grams.
    """
    parts = (
        {"network": opened.network_alone(), "ngrams": opened.ngrams_alone()} if separately else {}
    )
    return {"model": opened, **parts}


def json_fields(results: "dict[str, Evaluation]", others: "Baselines | None") -> dict[str, Any]:
    """Return the results of the command as a dict, to print as JSON.

    Args:
        results: the evaluation of the "model" and, if they were asked for, of the "network" and the "ngrams" alone,
            and of the "dynamic" model.
        others: the results of the baselines, if they were asked for.
    """
    figures = {name: loss_figures(result) for name, result in results.items() if name != "model"}
    fields = dataclasses.asdict(results["model"])
    del fields["dynamic_rate"]
    if "dynamic" in figures:
        rate = results["dynamic"].dynamic_rate
        fields["dynamic"] = {**figures.pop("dynamic"), "learning_rate": rate}
    if figures:
        fields["separately"] = figures
    if others is not None:
        fields["baselines"] = others.to_dict()
    return fields


def show_results(results: "dict[str, Evaluation]", others: "Baselines | None", tokens: str) -> None:
    """Print the results of the command. `results` and `others` are those of `json_fields`.

    `tokens` is the unit of prediction in the plural: "characters" or "bytes".
    """
    from charloom.evaluation import why_no_interval

    result, one = results["model"], one_of(tokens)
    show(f"text:       {result.text}, {result.part}")
    ends = "" if result.items is None else ", with the end of each item"
    show(f"{tokens + ':':<11} {result.characters:,} predicted{ends}")
    per_item = "" if result.nats_per_item is None else f"; {result.nats_per_item:.4f} per item"
    show(f"nats:       {result.nats:.4f} per {one}{per_item}")
    show(f"bits:       {result.bits:.4f} per {one}{interval_phrase(result)}")
    show(f"perplexity: {result.perplexity:.3f}")
    if result.items is None:
        say_sentences(filter(None, [why_no_interval(result.characters, tokens)]))
    if (dynamic := results.get("dynamic")) is not None:
        show(
            f"dynamic:    {dynamic.nats:.4f} nats or {dynamic.bits:.4f} bits per {one}, if the model continues "
            f"to learn while it reads{worse_phrase(dynamic, result)}"
        )
    if "network" in results:
        show_separately(result, results["network"], results["ngrams"], one)
    if others is not None:
        show_baselines(result, others, tokens)


def worse_phrase(dynamic: "Evaluation", result: "Evaluation") -> str:
    """Return advice as a phrase if learning made the model worse; "" if it is better."""
    if dynamic.nats <= result.nats:
        return ""
    return f"; worse here, so try a --dynamic-rate below {dynamic.dynamic_rate:g}"


def interval_phrase(result: "Evaluation") -> str:
    """Return the 95 % interval of the cross-entropy as a phrase.

    Return an empty string if `result` has no interval.
    """
    if result.interval is None:
        return ""
    low, high = result.interval
    return f", 95 % between {low:.4f} and {high:.4f}"


def loss_figures(result: "Evaluation") -> dict[str, Any]:
    """Return the figures of an evaluation that differ between a model and its parts, to print as JSON."""
    names = ("nats", "bits", "interval", "perplexity")
    return {name: getattr(result, name) for name in names}


def show_separately(
    whole: "Evaluation", network: "Evaluation", ngrams: "Evaluation", one: str
) -> None:
    """Print the cross-entropy of a model with n-grams, and of its two parts.

    Args:
        whole: the evaluation of the model.
        network: the evaluation of its network alone.
        ngrams: the evaluation of its n-grams alone.
        one: the unit of prediction in the singular: "character" or "byte".
    """
    show()
    show(f"The parts of the model, each alone; fewer nats or bits per {one} are better:")
    rows = {"both together": whole, "the network": network, "the n-grams": ngrams}
    for name, result in rows.items():
        show(f"  {name:<14} {result.nats:.4f} nats   {result.bits:.4f} bits")
    show(
        "The network learned to correct the n-grams, not to predict alone. A network that is\n"
        "trained with --ngram-order 0 predicts better than this network does alone."
    )


def show_baselines(result: "Evaluation", others: "Baselines", tokens: str) -> None:
    """Print the bits per character of the model and of the baselines, in ascending order.

    Args:
        result: the evaluation of the model.
        others: the results of the baselines: n-gram models and compressors.
        tokens: the unit of prediction in the plural: "characters" or "bytes".
    """
    one = one_of(tokens)
    best = others.best_order
    rows = [
        ("this model", result.bits),
        (f"{best}-gram, the best of 1 to {max(others.ngrams)}", others.ngrams[best]),
    ]
    for name, compressed in others.compressors.items():
        rows += [(f"{name} after the training part", compressed.bits)]
        rows += [(f"{name} alone", compressed.alone)]
    show()
    show(
        f"Bits per {one}. The baselines read {others.learnt:,} {tokens} of the training part first:"
    )
    for name, bits in sorted(rows, key=lambda row: row[1]):
        show(f"  {name:<28} {bits:7.4f}")
    orders = ", ".join(f"{bits:.3f}" for bits in others.ngrams.values())
    show(f"n-grams of order 1 to {len(others.ngrams)}: {orders}")
    if others.judged < result.characters:
        show(f"The baselines were evaluated only on the first {others.judged:,} {tokens}.")
