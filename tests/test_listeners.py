"""Listeners log a run to TensorBoard, W&B and MLflow, with the figures of metrics.jsonl."""

import json
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import charloom
from charloom import listeners
from charloom.errors import ConfigError, MissingPartError
from charloom.formatting import bits_per_character
from charloom.listeners import MLflow, RunLogger, TensorBoard, WandB
from charloom.training import FinalEvaluation, Record
from tests.small_runs import TEXT
from tests.waiting import until

SETTINGS = {
    "hidden_size": 8,
    "seq_length": 10,
    "epochs": 2,
    "report_every": 7,
    "sample_every": 40,
    "sample_length": 30,
    "validation": 0.2,
    "engine": "reference",
}
MISSING = "is not installed, so its files cannot be read"


def trained(run, listener, **changes):
    """Train a small run and return its records and samples, as dicts."""
    charloom.train(string=TEXT, run=run, listener=listener, **{**SETTINGS, **changes})
    return records(run), lines(run / "samples.jsonl")


def records(run):
    return lines(run / "metrics.jsonl")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def record_at(update):
    return Record(update, 0.1, 10 * update, 1.0, 30.0, 30.0, 2.0, 0.1, 1.0, 5000.0)


def curves(found):
    """Return the curves that a log must hold, by name: pairs of update and value, from records."""
    columns = {
        "train/nats_per_character": lambda row: row["train_nats"],
        "train/bits_per_character": lambda row: bits_per_character(row["train_nats"]),
        "validation/nats_per_character": lambda row: row.get("validation_nats"),
        "learning_rate": lambda row: row["learning_rate"],
        "gradient_norm": lambda row: row["gradient_norm"],
        "characters_per_second": lambda row: row["characters_per_second"],
    }
    return {
        name: [(row["update"], take(row)) for row in found if take(row) is not None]
        for name, take in columns.items()
    }


class Memory(RunLogger):
    """A log in memory."""

    title = "The memory"

    def __init__(self, broken=()):
        super().__init__()
        self.broken, self.calls = broken, []

    def _take(self, name, *values):
        self.calls.append((name, *values))
        if name in self.broken:
            raise OSError("no space")

    def _open(self, run):
        self._take("open", run, dict(self._settings))

    def _log_figures(self, update, values):
        self._take("figures", update, values)

    def _log_sample(self, update, text):
        self._take("sample", update, text)

    def _close(self, state):
        self._take("close", state)

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


def test_a_logger_gets_the_settings_the_figures_the_samples_and_the_end(tmp_path):
    log = Memory()
    found, samples = trained(tmp_path / "run", log)
    ((run, settings),) = log.named("open")
    assert run == tmp_path / "run"
    assert (settings["hidden_size"], settings["validation"]) == (8, 0.2)
    for name, curve in curves(found).items():
        logged = [
            (update, values[name]) for update, values in log.named("figures") if name in values
        ]
        assert curve, name
        assert logged == curve, name
    assert log.named("sample") == [(row["update"], row["text"]) for row in samples] != []
    assert log.named("close") == [("finished",)]
    assert [call[0] for call in log.calls][:: len(log.calls) - 1] == ["open", "close"]


def test_a_run_of_bytes_has_figures_per_byte():
    log = Memory()
    charloom.train(string=TEXT, listener=log, **{**SETTINGS, "tokens": "bytes"})
    _, values = log.named("figures")[0]
    assert {"train/bits_per_byte", "bytes_per_second"} <= set(values)


def test_a_log_is_closed_after_an_error(tmp_path):
    class Stops(Memory):
        def _log_sample(self, update, text):
            raise KeyboardInterrupt

    log = Stops()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", log)
    assert log.named("close") == [(None,)]


def test_one_logger_logs_a_run_and_its_continuation(tmp_path):
    log = Memory()
    trained(tmp_path / "run", log)
    charloom.resume(tmp_path / "run", epochs=3, listener=log)
    assert len(log.named("open")) == len(log.named("close")) == 2
    updates = [update for update, _ in log.named("figures")]
    assert updates == sorted(updates)
    assert updates[-1] == records(tmp_path / "run")[-1]["update"]


@pytest.mark.parametrize("broken", ["open", "figures", "sample", "close"])
def test_a_log_that_fails_warns_once_and_training_continues(tmp_path, broken):
    log = Memory(broken=[broken])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found, _ = trained(tmp_path / "run", log)
    (warning,) = caught
    assert "The memory cannot log the run (OSError: no space); training continues" in str(
        warning.message
    )
    assert found[-1]["update"] == charloom.load(tmp_path / "run", which="latest").learner.update
    assert len(log.named(broken)) == 1


def test_a_plain_function_is_a_listener_as_before():
    events = []
    charloom.train(string=TEXT, listener=events.append, **SETTINGS)
    assert type(events[-1]).__name__ == "Ended"


def test_a_list_of_listeners_is_called_in_its_order(tmp_path):
    events, first, second = [], Memory(), Memory()
    charloom.train(string=TEXT, listener=[first, events.append, second], **SETTINGS)
    assert type(events[-1]).__name__ == "Ended"
    assert first.calls == second.calls
    assert first.named("close") == [("finished",)]
    assert len(first.named("open")) == 1


def test_a_listener_in_a_list_is_closed_after_an_error_of_another():
    def fails(_event):
        raise KeyError

    log = Memory()
    with pytest.raises(KeyError):
        charloom.train(string=TEXT, listener=[log, fails], **SETTINGS)
    assert len(log.named("close")) == len(log.named("open")) <= 1


@pytest.mark.parametrize("wrong", [3, "show", [print, 3], None])
def test_what_is_no_listener_is_refused_before_training(wrong, tmp_path):
    for call in (
        lambda: charloom.train(string=TEXT, run=tmp_path / "run", listener=wrong, **SETTINGS),
        lambda: charloom.resume(tmp_path / "run", listener=wrong),
    ):
        with pytest.raises(ConfigError, match=r"listener is .*; it must be a function that takes"):
            call()
    assert not (tmp_path / "run").exists()


def test_a_directory_for_tensorboard_that_is_no_path_is_refused():
    with pytest.raises(ConfigError, match=r"directory.*3; it must be a path"):
        TensorBoard(3)


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        (lambda: TensorBoard("logs"), "tensorboardX", "tensorboard"),
        (WandB, "wandb", "wandb"),
        (MLflow, "mlflow", "mlflow"),
    ],
)
def test_a_missing_package_is_one_sentence_with_the_command(monkeypatch, kind, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingPartError, match=rf"{package} is not installed.*\[{extra}\]"):
        kind()


# TensorBoard


def read_events(directory):
    """Return TensorBoard's own reader of the event files in a directory."""
    pytest.importorskip("tensorboardX", reason=f"tensorboardX {MISSING}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator",
            reason=f"TensorBoard {MISSING}",
        )
        found = loader.EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0})
        return found.Reload()


def scalars(events, name):
    return [(event.step, event.value) for event in events.Scalars(name)]


def as_float32(curve):
    return [(update, float(np.float32(value))) for update, value in curve]


def test_tensorboard_reads_the_figures_samples_and_settings(tmp_path):
    pytest.importorskip("tensorboardX", reason=f"tensorboardX {MISSING}")
    found, samples = trained(tmp_path / "run", TensorBoard(tmp_path / "logs" / "run"))
    events = read_events(tmp_path / "logs" / "run")
    for name, curve in curves(found).items():
        assert scalars(events, name) == as_float32(curve), name
    texts = {
        event.step: event.tensor_proto.string_val[0].decode()
        for event in events.Tensors("sample/text_summary")
    }
    indented = {row["update"]: "    " + row["text"].replace("\n", "\n    ") for row in samples}
    assert texts == indented
    from tensorboard.plugins.hparams import metadata

    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    hparams = metadata.parse_session_start_info_plugin_data(content).hparams
    assert hparams["hidden_size"].number_value == 8
    assert hparams["cell"].string_value == charloom.load(tmp_path / "run").config.cell


def test_tensorboard_shows_only_the_new_figures_of_updates_that_came_twice(tmp_path):
    pytest.importorskip("tensorboardX", reason=f"tensorboardX {MISSING}")
    first, _ = trained(tmp_path / "first", TensorBoard(tmp_path / "logs"))
    second, _ = trained(tmp_path / "second", TensorBoard(tmp_path / "logs"), seed=3)
    assert first != second
    events = read_events(tmp_path / "logs")
    expected = as_float32(curves(second)["train/nats_per_character"])
    assert scalars(events, "train/nats_per_character") == expected


def test_tensorboard_gets_a_new_file_if_training_goes_back(tmp_path):
    pytest.importorskip("tensorboardX", reason=f"tensorboardX {MISSING}")
    log = TensorBoard(tmp_path / "logs")
    for update, value in [(10, 1.0), (20, 2.0), (30, 3.0), (20, 4.0)]:
        log._log_figures(update, {"loss": value})
    log._close("finished")
    assert len(list((tmp_path / "logs").iterdir())) == 2
    assert scalars(read_events(tmp_path / "logs"), "loss") == [(10, 1.0), (20, 4.0)]


def test_tensorboard_keeps_the_curve_after_the_best_update(tmp_path):
    """The loss on the whole validation part is that of the best model, whose update is an earlier one."""
    pytest.importorskip("tensorboardX", reason=f"tensorboardX {MISSING}")
    log = TensorBoard(tmp_path / "logs")
    log.begin_run(charloom.Config(), None)
    for update in (10, 20, 30):
        log(record_at(update))
    log(FinalEvaluation(20, 1.5, 500))
    log.end_run()
    events = read_events(tmp_path / "logs")
    assert [update for update, _ in scalars(events, "train/nats_per_character")] == [10, 20, 30]
    assert scalars(events, "whole_validation/nats_per_character") == [(30, 1.5)]


# W&B and MLflow


def test_wandb_logs_offline(tmp_path, monkeypatch):
    """Starts W&B's own process, which takes some seconds. Its file is read with W&B's own messages."""
    pytest.importorskip("wandb", reason=f"W&B {MISSING}")
    monkeypatch.setenv("WANDB_SILENT", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, samples = trained(
            tmp_path / "run", WandB("letters", mode="offline", dir=str(tmp_path))
        )
    path = next(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    rows, config = until(lambda: wandb_rows(path))  # W&B completes the file in the background
    for name, curve in curves(found).items():
        assert [(row["update"], row[name]) for row in rows if name in row] == curve, name
    assert config["hidden_size"] == 8
    pages = list(tmp_path.glob("wandb/offline-run-*/files/media/html/*.html"))
    assert len(pages) == len(samples)


def wandb_rows(path):
    """Return the logged rows and the settings in a file of W&B; None if its end is not written yet."""
    from wandb.proto import wandb_internal_pb2

    rows, config, ended = [], {}, False
    for data in wandb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = record.history.item
            rows.append(
                {(i.key or ".".join(i.nested_key)): json.loads(i.value_json) for i in items}
            )
        if record.HasField("run"):
            config |= {
                i.key or i.nested_key[0]: json.loads(i.value_json) for i in record.run.config.update
            }
        ended = ended or record.HasField("exit")
    return (rows, config) if ended else None


def wandb_records(data):
    """Yield the records in the bytes of a file of W&B, which are in blocks of 32 KiB as in a log of LevelDB."""
    place, begun = 7, b""
    while place + 7 <= len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        if place + 7 + length > len(data):
            return
        begun += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            yield begun
            begun = b""


def test_mlflow_keeps_figures_samples_settings_and_the_state(tmp_path, monkeypatch):
    """Makes MLflow's file store, which takes some seconds."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = pytest.importorskip("mlflow", reason=f"MLflow {MISSING}")
        store = f"file:{tmp_path / 'mlruns'}"
        found, samples = trained(tmp_path / "run", MLflow("letters", tracking_uri=store))
        client = mlflow.MlflowClient(store)
        experiment = client.get_experiment_by_name("letters").experiment_id
        (run,) = client.search_runs([experiment])
        for name, curve in curves(found).items():
            history = client.get_metric_history(run.info.run_id, name)
            assert sorted((m.step, m.value) for m in history) == curve, name
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params["hidden_size"] == "8"
    kept = sorted(tmp_path.rglob("samples/update-*.txt"))
    assert [path.read_text(encoding="utf-8") for path in kept] == [row["text"] for row in samples]


def test_mlflow_says_how_a_run_ended():
    log = object.__new__(MLflow)
    ended = []
    log._client = SimpleNamespace(set_terminated=lambda run, status: ended.append(status))
    log._run = "a"
    for state in ("finished", "interrupted", "stopped", None):
        log._close(state)
    assert ended == ["FINISHED", "KILLED", "KILLED", "FAILED"]


def test_the_public_listeners_are_the_three():
    assert listeners.__all__ == ["MLflow", "TensorBoard", "WandB"]
