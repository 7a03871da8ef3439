"""What study.json says about a search: all that a worker process needs to make a run from the settings of a trial."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charloom.canonical_form import canonical_json
from charloom.errors import CharloomError, ConfigError
from charloom.model.schedule import Schedule
from charloom.studies.plan import KEY_LENGTH, PlannedRun, checked_config, key_of
from charloom.studies.search_spec import SearchSpec
from charloom.studies.spec import Settings, StudySpec
from charloom.text import Corpus


@dataclass(frozen=True)
class PlannedSearch:
    """A search on a text.

    Attributes:
        spec: the search.
        name: its name in Optuna's storage.
        recipe: the recipe with whose settings each run begins.
        fingerprint: the fingerprint of the text.
        settings: the settings that all runs share.
        seeds: the seeds; trials use the first one.
        interval: the updates between two validation losses of a typical run.
        updates: the updates of a typical run.
    """

    spec: SearchSpec
    name: str
    recipe: str
    fingerprint: str
    settings: Settings
    seeds: tuple[int, ...]
    interval: int
    updates: int

    @property
    def repeats(self) -> int:
        """The number of runs that repeat the best settings, if so many trials finish."""
        return self.spec.repeat * (len(self.seeds) - 1)

    def run(self, number: int, drawn: Mapping[str, Any], seed: int | None = None) -> PlannedRun:
        """Return the run of a trial.

        Args:
            number: the number of the run.
            drawn: the settings of the trial.
            seed: its seed; None means the first one.
        """
        chosen = self.seeds[0] if seed is None else seed
        settings = {**self.settings, **drawn, "seed": chosen}
        run = PlannedRun(number, "", 0, settings)
        try:
            key = key_of(run.config(self.recipe), self.fingerprint)
        except CharloomError:  # the settings contradict each other, so the run will fail
            key = hashlib.sha256(canonical_json(settings)).hexdigest()[:KEY_LENGTH]
        return PlannedRun(number, key, 0, settings)

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain data."""
        return {**vars(self), "spec": self.spec.to_dict(), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PlannedSearch":
        """Return the search of `to_dict`."""
        spec = SearchSpec.from_dict(values["spec"])
        return cls(**{**values, "spec": spec, "seeds": tuple(values["seeds"])})


def plan_search(spec: StudySpec, corpus: Corpus) -> PlannedSearch | None:
    """Return the search of a specification on its text; None if it has none.

    Raises:
        ConfigError: settings that the search can draw are not valid, or runs have no validation loss.
        TextError: the text is too short for a run.
    """
    search = spec.search
    if search is None:
        return None
    shared = dict(spec.settings)
    configs = [checked_config(spec.recipe, {**shared, **one}, corpus) for one in search.examples()]
    if not configs[0].validation:
        raise ConfigError(
            "a search compares its runs by their validation loss, but they have no validation part; give "
            "validation = 0.1 in the section settings."
        )
    if configs[0].save_every:
        raise ConfigError(
            "the trials of a search have no run directories, so they keep no checkpoints; leave out save_every."
        )
    schedules = [Schedule.of(config, len(corpus)) for config in configs]
    interval = min(schedule.evaluation_interval for schedule in schedules)
    updates = max(schedule.updates for schedule in schedules)
    if search.pruner != "none" and interval >= updates:
        raise ConfigError(
            f"the search cannot prune runs of {updates:,} updates, because they have a validation loss only at the end; "
            f'give judge_every in the section settings, such as {max(1, updates // 10)}, or pruner = "none".'
        )
    shares = [spec.recipe, shared, corpus.fingerprint, spec.seeds[0]]
    return PlannedSearch(
        search,
        search.name(*shares),
        spec.recipe,
        corpus.fingerprint,
        shared,
        spec.seeds,
        interval,
        updates,
    )
