"""The settings of a training run as a type, so that editors complete them and type checkers reject a misspelt one.

`Config` is the source of the settings; a test compares the two.
"""

from typing import TypedDict


class RecipeName(TypedDict, total=False):
    """The name of a recipe as a keyword argument."""

    recipe: str | None


class Changes(TypedDict, total=False):
    """The settings of a training run except the recipe, as keyword arguments."""

    cell: str | None
    hidden_size: int | None
    layers: int | None
    ngram_order: int | None
    input_pairs: int | None
    dropout: float | None
    init: str | None
    sigma: float | None
    forget_bias: float | None
    seq_length: int | None
    batch_size: int | None
    order: str | None
    chunks: int | None
    epochs: int | None
    updates: int | None
    optimizer: str | None
    learning_rate: float | None
    momentum: float | None
    decay: float | None
    beta1: float | None
    beta2: float | None
    epsilon: float | None
    weight_decay: float | None
    weight_decay_on: str | None
    schedule: str | None
    warmup: int | None
    warmup_epochs: float | None
    step_after: int | None
    step_after_updates: int | None
    step_factor: float | None
    step_every: int | None
    step_every_updates: int | None
    cosine_end: float | None
    averaging: float | None
    clip: float | None
    clip_by: str | None
    reduction: str | None
    smoothing: float | None
    tokens: str | None
    unknown: str | None
    replacement: str | None
    items: str | None
    separator: str | None
    field: str | None
    validation: float | None
    test: float | None
    split: str | None
    judge_every: int | None
    judged_characters: int | None
    patience: int | None
    seed: int | None
    dtype: str | None
    compute_dtype: str | None
    engine: str | None
    device: str | None
    threads: int | None
    report_every: int | None
    sample_first: int | None
    sample_every: int | None
    sample_until: int | None
    sample_length: int | None
    passage_length: int | None
    save_seconds: float | None
    save_every: int | None
    keep_saved: str | None


class Settings(RecipeName, Changes, total=False):
    """The settings of a training run as keyword arguments: a field for each field of `Config`.

    A setting given as None does not change. `Config` has the help texts and the defaults.
    """
