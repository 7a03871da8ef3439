"""Says in words which optimizer trains a run, and how its learning rate changes. It reads only the settings."""

from typing import Final

from charloom.config import Config
from charloom.formatting import count, counted

TITLES: Final = {
    "adagrad": "AdaGrad", "sgd": "SGD", "rmsprop": "RMSProp", "adam": "Adam", "adamw": "AdamW",
}  # fmt: skip


def learning_rate_sentence(config: Config) -> str:
    """Return a sentence about the optimizer, the learning rate and its schedule."""
    optimizer = TITLES[config.optimizer]
    if config.optimizer == "sgd" and config.momentum:
        optimizer += f" with momentum {config.momentum:g}"
    parts = [f"{optimizer}, learning rate {config.learning_rate:g}"]
    if (warmup := warmup_phrase(config)) is not None:
        parts.append(f"which first rises over {warmup}")
    if config.schedule != "constant":
        parts.append(f"{config.schedule} schedule: {schedule_phrase(config)}")
    return f"It uses {', '.join(parts)}."


def warmup_phrase(config: Config) -> str | None:
    """Return the length of the warm-up as text, such as "0.5 epochs"; None without a warm-up."""
    if config.warmup_epochs:
        return "1 epoch" if config.warmup_epochs == 1 else f"{config.warmup_epochs:g} epochs"
    return counted(config.warmup, "update") if config.warmup else None


def schedule_phrase(config: Config) -> str:
    """Return what a schedule that is not constant does to the learning rate, without commas."""
    if config.schedule == "cosine":
        end = "0" if not config.cosine_end else f"{config.cosine_end:g} of it"
        return f"falls to {end} along a cosine"
    after = time_phrase(config.step_after, config.step_after_updates)
    every = time_phrase(config.step_every, config.step_every_updates)
    return f"×{config.step_factor:g} after {after} and then every {every.removeprefix('1 ')}"


def time_phrase(epochs: int, updates: int | None) -> str:
    """Return a time of the schedule as text: in updates if they are given, otherwise in epochs."""
    if updates is not None:
        return "1 update" if updates == 1 else f"{count(updates)} updates"
    return counted(epochs, "epoch")
