"""Lists the models in the folder of the runs: all checkpoints of the runs, and all model files.

Each model in the list has an id. This module loads no model.
"""

from typing import NamedTuple

from charloom.run_file_names import BEST, LATEST
from charloom.web.run_index import RunList
from charloom.web.schemas import ModelAbout, Run


class ModelId(NamedTuple):
    """A model in the list of models. It has few fields, because there may be tens of thousands of models.

    Attributes:
        id: the id of the model in requests.
        run: the run that saved the model; None for a model file.
        which: the checkpoint of the run: "latest", "best" or an update as a string; "file" for a model file.
        update: the update after which the run saved the model; None for a model file.
        name: the name that the page shows.
    """

    id: str
    run: Run | None
    which: str
    update: int | None
    name: str

    @property
    def created(self) -> int:
        """Return when the run of the model last changed, in Unix time; 0 for a model file."""
        return int(self.run.changed) if self.run else 0

    def about(self) -> ModelAbout:
        """Return the entry for this model in a response."""
        return ModelAbout(
            id=self.id,
            run=self.run.key if self.run else None,
            which=self.which,
            update=self.update,
            name=self.name,
            state=self.run.state if self.run else None,
            created=self.created,
        )


def models_in(listed: RunList) -> list[ModelId]:
    """Return all models in the list `listed`: first the models of the runs, then the model files."""
    found = [model for run in listed.runs for model in models_of(run)]
    return found + [
        ModelId(file.key, None, "file", None, file.name) for file in listed.files.values()
    ]


def models_of(run: Run) -> list[ModelId]:
    """Return the models of a run; an empty list if the run has no checkpoint.

    The first model is the run's default model: the best or the latest model. If the run has both, the second
    model is the one that is not the default. Then one model follows for each checkpoint, with the checkpoint's
    update in the id.
    """
    if run.latest is None:
        return []
    updates = {LATEST: run.latest} | ({} if run.best is None else {BEST: run.best})
    first = run.model if run.model in updates else LATEST
    found = [ModelId(run.key, run, first, updates.pop(first), run.name)]
    for which, update in updates.items():
        found.append(ModelId(f"{run.key}@{which}", run, which, update, f"{run.name}, {which}"))
    for update in run.checkpoints:
        name = f"{run.name}, update {update:,}"
        found.append(ModelId(f"{run.key}@{update}", run, str(update), update, name))
    return found
