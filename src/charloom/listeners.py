"""Listeners that log training runs to TensorBoard, W&B and MLflow (docs/guides/python.md: Log to TensorBoard).

Give one to `charloom.train` or `charloom.resume` as `listener`. A listener that fails warns once, and
training continues without it. This module does not know where a run comes from.
"""

import html
import importlib
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.api.python_warnings import warn_user
from charloom.config import Config, require_path
from charloom.errors import MissingPartError
from charloom.formatting import bits_per_character, one_of
from charloom.gradient_check import GradientCheck
from charloom.messages import pip_command
from charloom.training import Ended, FinalEvaluation, Record, Sample, TrainingEvent

__all__ = ["MLflow", "TensorBoard", "WandB"]

SAMPLE: Final = "sample"  # the name under which samples are logged
MLFLOW_STATUS: Final = {"finished": "FINISHED", "interrupted": "KILLED", "stopped": "KILLED"}


class RunLogger(ABC):
    """Logs the figures, samples and settings of a training run. Subclasses write them with some package.

    The figures of a record are the training loss, the validation loss if it was computed, the learning rate, the
    norm of the gradient, and the speed. The loss on the whole validation part has a name of its own.
    """

    title: str  # the name of the program, for messages

    def __init__(self) -> None:
        self._one, self._settings = "character", dict[str, Any]()
        self._is_open, self._failed = False, False
        self._last = 0  # update of the last record

    def begin_run(self, config: Config, run: Path | None) -> None:
        """Begin to log a run.

        Args:
            config: its settings.
            run: its run directory; None if it has none.
        """
        self._one = one_of(config.tokens)
        self._settings = {k: v for k, v in config.to_dict().items() if v is not None}
        self._failed, self._last = False, 0
        self._attempt(self._open, run)

    def __call__(self, item: TrainingEvent | GradientCheck) -> None:
        """Log an event of the run, and ignore events without figures and texts."""
        if isinstance(item, Record):
            self._last = item.update
            self._attempt(self._log_figures, item.update, figures(item, self._one))
        elif isinstance(item, FinalEvaluation):
            # Its update is that of the best model; it is the last figure of the run all the same.
            whole = losses("whole_validation", item.nats, self._one)
            self._attempt(self._log_figures, max(item.update, self._last), whole)
        elif isinstance(item, Sample):
            self._attempt(self._log_sample, item.update, item.text)
        elif isinstance(item, Ended):
            self._end(item.state)

    def end_run(self) -> None:
        """Close the log, if the run has not reported its end, because of an error."""
        self._end(None)

    def _attempt(self, method: Any, *arguments: Any) -> None:
        """Call a method that writes. If it fails, warn once, and write nothing more of this run."""
        if self._failed:
            return
        try:
            if not self._is_open and method not in (self._open, self._close):
                self._open(None)
                self._is_open = True
            method(*arguments)
            self._is_open = method != self._close
        # A log that cannot be written must not end hours of training.
        except Exception as error:
            self._failed = True
            with suppress(Warning):  # raised if the user has turned warnings into errors
                warn_user(
                    f"{self.title} cannot log the run ({type(error).__name__}: {error}); training continues without it.",
                    stacklevel=3,
                )

    def _end(self, state: str | None) -> None:
        """Close the log if it is open. `state` is that of `Ended`; None after an error."""
        was_open, self._is_open = self._is_open, False
        if was_open and self._failed:
            with suppress(Exception):
                self._close(state)
        elif was_open:
            self._attempt(self._close, state)

    @abstractmethod
    def _open(self, run: Path | None) -> None:
        """Open a log and write the settings. `run` is the run directory; None if there is none."""

    @abstractmethod
    def _log_figures(self, update: int, values: dict[str, float]) -> None:
        """Write figures after an update."""

    @abstractmethod
    def _log_sample(self, update: int, text: str) -> None:
        """Write a sample after an update."""

    @abstractmethod
    def _close(self, state: str | None) -> None:
        """Write what is left, and close the log. `state` is described in `_end`."""


class TensorBoard(RunLogger):
    """Logs a run into event files for TensorBoard. Needs the extra `tensorboard` (the package tensorboardX).

    TensorBoard itself need not be installed. Event files have values of type float32. If training continues from an
    earlier update in the same directory, TensorBoard shows only the new figures from there on.

    Args:
        directory: the directory of the event files, such as "logs/first". It is created if it does not exist.

    Raises:
        ConfigError: `directory` is not a path.
        MissingPartError: tensorboardX is not installed.
    """

    title = "TensorBoard"

    def __init__(self, directory: str | Path) -> None:
        super().__init__()
        self._directory = str(require_path("directory", directory))
        self._package = required("tensorboardX", "tensorboard")
        self._writer: Any = None
        self._update = 0  # of the last event

    def _open(self, run: Path | None) -> None:
        """Do nothing: the file is created at the first event, whose update tells which earlier events it replaces."""

    def _log_figures(self, update: int, values: dict[str, float]) -> None:
        writer = self._writer_at(update)
        for name, value in values.items():
            writer.add_scalar(name, value, update)
        writer.flush()

    def _log_sample(self, update: int, text: str) -> None:
        indented = "\n".join(
            f"    {line}" for line in text.split("\n")
        )  # Markdown for text as it is
        self._writer_at(update).add_text(SAMPLE, indented, update)

    def _writer_at(self, update: int) -> Any:
        """Return the writer for events at an update. A new file hides the events of older files from there on."""
        if self._writer is not None and update >= self._update:
            self._update = update
            return self._writer
        if self._writer is not None:
            self._writer.close()
        # The name of the file otherwise has only whole seconds, so a second file could replace the first.
        suffix = f".{time.time_ns()}"
        self._writer = self._package.SummaryWriter(
            self._directory, purge_step=update, filename_suffix=suffix
        )
        self._update = update
        metric = (
            f"{'validation' if self._settings.get('validation') else 'train'}/bits_per_{self._one}"
        )
        # The third summary says that the run was successful, which is not yet known.
        hparams = importlib.import_module("tensorboardX.summary").hparams
        for summary in hparams(self._settings, {metric: 0.0})[:2]:
            self._writer.file_writer.add_summary(summary)
        return self._writer

    def _close(self, state: str | None) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


class WandB(RunLogger):
    """Logs a run to Weights & Biases. Needs the extra `wandb`.

    The figures have the update as their step. Unless you say otherwise, wandb sends them to wandb.ai;
    `mode="offline"` keeps them on this machine.

    Args:
        project: the project to which the run belongs.
        **options: other arguments of `wandb.init`, such as `mode`, `name` or `dir`. The name of a run is by default
            that of its run directory.

    Raises:
        MissingPartError: wandb is not installed.
    """

    title = "W&B"

    def __init__(self, project: str = "charloom", **options: Any) -> None:
        super().__init__()
        self._package = required("wandb", "wandb")
        self._options = {"project": project, **options}
        self._run: Any = None

    def _open(self, run: Path | None) -> None:
        name = {"name": run.name} if run is not None else {}
        self._run = self._package.init(config=self._settings, **(name | self._options))
        # W&B refuses an earlier step of its own, and training can go back to an earlier update.
        self._run.define_metric("*", step_metric="update")

    def _log_figures(self, update: int, values: dict[str, float]) -> None:
        self._run.log({"update": update, **values})

    def _log_sample(self, update: int, text: str) -> None:
        page = self._package.Html(f"<pre>{html.escape(text)}</pre>")
        self._run.log({"update": update, SAMPLE: page})

    def _close(self, state: str | None) -> None:
        run, self._run = self._run, None
        run.finish(exit_code=0 if state in ("finished", "stopped") else 1)


class MLflow(RunLogger):
    """Logs a run to MLflow. Needs the extra `mlflow`.

    Samples are text artifacts, `samples/update-00000100.txt`. MLflow's active run is not changed.

    Args:
        experiment: the experiment to which the run belongs; it is created if it does not exist.
        tracking_uri: where MLflow keeps its runs, such as "sqlite:///mlflow.db" or the address of a server. None means
            MLflow's own default, or what the environment variable MLFLOW_TRACKING_URI says.
        run_name: the name of the run; None means that of the run directory.

    Raises:
        MissingPartError: MLflow is not installed.
    """

    title = "MLflow"

    def __init__(
        self,
        experiment: str = "charloom",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
    ) -> None:
        super().__init__()
        self._package = required("mlflow", "mlflow")
        self._experiment, self._uri, self._name = experiment, tracking_uri, run_name
        self._client: Any = None
        self._run = ""  # the identifier of the run

    def _open(self, run: Path | None) -> None:
        self._client = self._package.MlflowClient(self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self._experiment)  # fmt: skip
        name = self._name or (run.name if run is not None else None)
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        parameter = self._package.entities.Param
        settings = [parameter(name, str(value)) for name, value in self._settings.items()]
        self._client.log_batch(self._run, params=settings)

    def _log_figures(self, update: int, values: dict[str, float]) -> None:
        now, metric = time.time_ns() // 1_000_000, self._package.entities.Metric
        metrics = [metric(name, value, now, update) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def _log_sample(self, update: int, text: str) -> None:
        self._client.log_text(self._run, text, f"samples/update-{update:08d}.txt")

    def _close(self, state: str | None) -> None:
        self._client.set_terminated(self._run, MLFLOW_STATUS.get(state or "", "FAILED"))


def figures(record: Record, one: str) -> dict[str, float]:
    """Return the figures of a record by their names in a log. `one` is "character" or "byte"."""
    values = losses("train", record.train_nats, one)
    if record.validation_nats is not None:
        values |= losses("validation", record.validation_nats, one)
    return values | {
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        f"{one}s_per_second": record.characters_per_second,
    }


def losses(name: str, nats: float, one: str) -> dict[str, float]:
    """Return a loss in nats and in bits, as `figures` names them."""
    return {f"{name}/nats_per_{one}": nats, f"{name}/bits_per_{one}": bits_per_character(nats)}


def required(package: str, extra: str) -> Any:
    """Return a package that an extra of charloom installs.

    Raises:
        MissingPartError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError:
        raise MissingPartError(
            f"the package {package} is not installed. Install it {pip_command(extra)}."
        ) from None
