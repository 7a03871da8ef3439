"""Tests of the benchmarks: the contestants take turns on the right processors, and do the same work."""

import json
import os
import shlex
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from charloom.bench import (
    CLASSIC,
    WORKLOADS,
    bench,
    classic,
    device_speed,
    interleaved,
    measure,
    render,
    sampling_speed,
    timed_processes,
    training_speed,
)
from charloom.bench.charloom_engines import engine_sampling, engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary, windows_of
from charloom.cli import app
from charloom.cpu_limits import processors
from charloom.engines import native_problem, open_engine
from charloom.errors import ConfigError, DivergedError, EngineError
from charloom.formatting import table
from charloom.model import new_learner, parameter_shapes, zero_state

NAMES = (
    "lstm-100 gru-100 lstm-128 gru-128 rnn-128 lstm-2x128 lstm-256 lstm-2x512 gru-2x512 rnn-2x512 "
    "sample-2x512"
)


def charloom_(words):
    """Run a command in this process."""
    return CliRunner().invoke(app, shlex.split(words), prog_name="charloom")


def tiny(name, **changes):
    """Return a workload that needs very little time."""
    small = {"hidden_size": 4, "seq_length": 3, "turn": 0.002, "length": 2_500}
    return replace(WORKLOADS[name], **{**small, **changes})


def tiny_learner(name="lstm-128", **changes):
    workload = tiny(name, **changes)
    return new_learner(workload.config, bench_vocabulary(workload.vocabulary_size))


@pytest.fixture
def without_frameworks(monkeypatch):
    """Make the imports of PyTorch and JAX fail."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "jax", None)


# Workloads


def test_the_workloads_have_the_documented_names_and_sizes():
    assert " ".join(WORKLOADS) == NAMES
    sizes = {
        name: (w.layers, w.hidden_size, w.batch_size, w.seq_length) for name, w in WORKLOADS.items()
    }
    assert sizes["lstm-100"] == (1, 100, 1, 25)
    assert sizes["gru-128"] == (1, 128, 32, 64)
    assert sizes["lstm-2x128"] == (2, 128, 50, 50)
    assert sizes["lstm-256"] == (1, 256, 64, 128)
    assert sizes["rnn-2x512"] == (2, 512, 64, 128)


@pytest.mark.parametrize("name", NAMES.split())
def test_useful_operations_are_six_per_weight_without_the_embedding_look_up(name):
    workload = WORKLOADS[name]
    shapes = parameter_shapes(workload.config, workload.vocabulary_size)
    entries = sum(
        rows * columns[0] for n, (rows, *columns) in shapes.items() if columns and n != "layers.0.U"
    )
    if workload.kind == "writing":
        assert workload.operations == 2 * entries
    else:
        assert workload.operations == 6 * entries * workload.batch_size * workload.seq_length


def test_an_unknown_workload_is_refused():
    with pytest.raises(ConfigError, match="workload is 'lstm-9'; it must be one of lstm-100"):
        measure("lstm-9")
    with pytest.raises(ConfigError, match="rounds is 0"):
        measure("lstm-100", 0)


# Taking turns


def test_contestants_take_turns():
    calls = []
    works = {name: lambda count, name=name: calls.append((name, count)) for name in "AB"}
    times = interleaved.interleave(works, rounds=3, turn=1e-9)
    assert [name for name, _ in calls[-6:]] == list("ABABAB")
    assert {name: len(seconds) for name, seconds in times.items()} == {"A": 3, "B": 3}
    assert len({count for name, count in calls[-6:] if name == "A"}) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no threads")
def test_work_is_limited_to_its_processors_and_released_even_after_an_error():
    before, processors = os.sched_getaffinity(0), []

    def work(count):
        processors.append(os.sched_getaffinity(0))
        raise ValueError

    for count in (1, 2):
        with pytest.raises(ValueError):
            interleaved.on_processors(count)(work)(1)
    assert processors == [set(sorted(before)[-1:]), set(sorted(before)[-2:])]
    assert os.sched_getaffinity(0) == before


# Contestants


def test_windows_are_consecutive_in_every_stream():
    tokens = np.arange(26, dtype=np.uint8)
    windows = windows_of(tokens, 4, 3)  # spacing 8: two windows a stream
    found = [next(windows) for _ in range(3)]
    assert found[0][0].T.tolist() == [[0, 1, 2, 3], [8, 9, 10, 11], [16, 17, 18, 19]]
    assert found[1][0].T.tolist() == [[4, 5, 6, 7], [12, 13, 14, 15], [20, 21, 22, 23]]
    for x, y in found:
        np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(found[2][0], found[0][0])


def test_the_text_has_the_requested_vocabulary_size():
    assert np.unique(bench_text(17)).tolist() == list(range(17))


def test_charlooms_updates_continue_after_the_end_of_an_epoch():
    learner = tiny_learner(batch_size=2)
    engine_updates(open_engine("reference"), learner, bench_text(65)[:31])(12)  # 5 an epoch
    assert learner.update == 12
    assert learner.position == 6


def test_a_contestant_that_stops_early_is_not_timed():
    learner = tiny_learner(batch_size=2)
    learner.parameters["V"][0, 0] = np.nan
    with pytest.raises(DivergedError, match="its time would be meaningless"):
        engine_updates(open_engine("reference"), learner, bench_text(65))(1)


def test_the_hand_written_pytorch_step_is_an_lstm():
    torch = pytest.importorskip("torch")
    from charloom.bench.pytorch import row_step, row_weights

    lstm, linear = torch.nn.LSTM(7, 5, num_layers=3), torch.nn.Linear(5, 7)
    ids = torch.arange(20) * 3 % 7
    with torch.inference_mode():
        step = row_step(row_weights(lstm), linear)
        ours = torch.stack([step(id.reshape(1)) for id in ids])
        theirs = linear(lstm(torch.eye(7)[ids])[0])
    assert (ours - theirs).abs().max() < 1e-6


def test_pytorch_and_charloom_do_the_same_training_steps():
    """Both start from the same weights and end with the same weights."""
    torch = pytest.importorskip("torch")
    from charloom.bench import pytorch

    workload = tiny("gru-128", layers=2, batch_size=3)
    tokens = bench_text(65)[:1000]
    torch.manual_seed(5)
    learner = tiny_learner("gru-128", layers=2, batch_size=3)
    kept = []

    class Watched(torch.optim.Adam):
        def __init__(self, parameters, **more):
            kept.extend(parameters)
            names = [f"layers.{n}.{p}" for n in range(2) for p in ("U", "W", "b", "d")] + ["V", "c"]
            with torch.no_grad():
                for theirs, name in zip(kept, names, strict=True):
                    ours = learner.parameters[name]
                    if name.endswith("d"):  # bias_hh, in which only the candidate's part is ours
                        theirs.zero_()
                        theirs[8:] = torch.from_numpy(ours)
                    else:
                        theirs.copy_(torch.from_numpy(ours))
            super().__init__(parameters, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Watched)
        work = pytorch.steps(workload.config, 65, tokens, 1)
    before = learner.parameters["V"].copy()
    work(5)
    engine_updates(open_engine("reference"), learner, tokens)(5)
    np.testing.assert_allclose(kept[-2].detach(), learner.parameters["V"], atol=2e-5)
    np.testing.assert_allclose(kept[5].detach(), learner.parameters["layers.1.W"], atol=2e-5)
    assert np.abs(before - learner.parameters["V"]).max() > 1e-3


# Measuring


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_training_steps_are_timed_for_charloom_and_pytorch(cell):
    pytest.importorskip("torch")
    times = training_speed.measure_steps(
        tiny(f"{cell}-128", batch_size=2), rounds=2, engine="reference"
    )
    assert [(row.name, row.threads) for row in times.rows][:2] == [("reference", 1), ("PyTorch", 1)]
    ours, theirs = times.rows[:2]
    assert ours.times_ours == 1
    assert theirs.times_ours == pytest.approx(theirs.milliseconds / ours.milliseconds)
    assert ours.characters_per_second == pytest.approx(6 / ours.milliseconds * 1e3)
    if times.machine["peak_gflops"]:
        gflops = times.workload["operations"] / ours.milliseconds / 1e6
        assert ours.peak_share == pytest.approx(gflops / times.machine["peak_gflops"])
    for row in times.rows[2:]:
        assert (row.name, row.threads, row.times_ours) == ("PyTorch", 2, None)
        assert row.second_core == pytest.approx(theirs.milliseconds / row.milliseconds)
    assert json.loads(json.dumps(times.to_dict()))["workload"]["rounds"] == 2
    assert "medians of 2 interleaved rounds" in times.render()


def test_sampling_is_timed_for_charloom_and_pytorch(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(sampling_speed, "PIECE", 20)
    workload = tiny("sample-2x512", length=50)
    times = sampling_speed.measure_writing(workload, rounds=2, engine="reference")
    names = [row.name for row in times.rows if row.threads == 1]
    assert names == ["reference", "PyTorch LSTMCell", "PyTorch, cell by hand"]
    assert times.rows[0].times_ours == 1
    assert times.long_text["characters"] == 50
    assert "a text of 50 characters by charloom" in times.render()
    assert json.loads(json.dumps(times.to_dict()))["rows"][0]["name"] == "reference"


def test_the_pieces_of_the_long_text_continue_each_other():
    """Each piece gets all of the text so far and starts from the final state of the piece before."""
    learner = tiny_learner("sample-2x512")
    engine, read_lengths = open_engine("reference"), []

    class Watched:
        def generate(self, learner, read, sampler, uniforms, state):
            read_lengths.append(len(read))
            if read_lengths[1:]:
                assert state is states[-1]
                np.testing.assert_array_equal(read[1:], np.concatenate(written))
            ids, state = engine.generate(learner, read[-1:], sampler, uniforms, state)
            states.append(state)
            written.append(ids)
            return ids, state

    states, written = [], []
    speeds = sampling_speed.write_long_text(Watched(), learner, 2_500)
    assert read_lengths == [1, 1001, 2001]
    assert len(np.concatenate(written)) == speeds["characters"] == 2_500


def test_sampling_starts_from_the_zero_state_each_time():
    learner = tiny_learner()
    before = learner.state["h"].copy()
    engine_sampling(open_engine("reference"), learner)(5)
    np.testing.assert_array_equal(learner.state["h"], before)
    assert learner.update == 0
    assert zero_state(learner.config)["h"].shape == (1, 1, 4)


def test_frameworks_that_are_not_installed_are_reported(without_frameworks):
    times = training_speed.measure_steps(tiny("rnn-128"), rounds=1, engine="reference")
    assert [row.name for row in times.rows] == ["reference"]
    assert any(reason.startswith("PyTorch: ") for reason in times.missing)
    assert "not measured: PyTorch" in times.render()
    text = sampling_speed.measure_writing(tiny("sample-2x512"), rounds=1, engine="reference")
    assert "not measured: PyTorch" in text.render()


def test_a_single_processor_is_reported(without_frameworks, monkeypatch):
    monkeypatch.setattr(training_speed, "processors", lambda: 1)
    times = training_speed.measure_steps(tiny("rnn-128"), rounds=1, engine="reference")
    assert "two threads: this process has one processor" in times.missing


def test_the_classic_bench_measures_without_frameworks(without_frameworks, monkeypatch):
    monkeypatch.setattr(classic, "interleave", partial(interleaved.interleave, turn=0.002))
    monkeypatch.setattr(classic, "native_problem", lambda: "no compiler")
    monkeypatch.setattr(interleaved, "native_problem", lambda: "no compiler")
    result = bench(rounds=1, hidden_size=4, vocabulary_size=5)
    assert result.setting["operations_per_update"] == 6 * 25 * 4 * 9
    assert [row.name for row in result.updates] == ["reference float32"]
    assert [row.name for row in result.sampling] == ["reference float32"]
    assert result.missing[-1] == "no compiler"
    assert "H = 4, T = 25, K = 5" in render(result)
    assert json.loads(json.dumps(result.to_dict()))["updates"][0]["ratio"] == 1


@pytest.mark.skipif(native_problem() is not None, reason="no native engine here")
def test_native_steps_are_timed_with_two_threads(without_frameworks):
    times = training_speed.measure_steps(tiny("lstm-128", batch_size=2), rounds=1)
    assert {row.threads for row in times.rows} == set(range(1, min(processors(), 2) + 1))
    assert all(row.name == "native" and row.times_ours == 1 for row in times.rows)


# Engines and devices


@pytest.fixture(scope="module")
def device_times():
    """The times of a tiny workload with two streams. Takes some seconds: processes import PyTorch."""
    pytest.importorskip("torch")
    return device_speed.measure_devices(tiny("rnn-128", batch_size=2), rounds=2)


def test_engines_and_numbers_of_processes_are_timed(device_times):
    rows = {row.name: row for row in device_times.rows}
    measured = ["PyTorch's module", "torch", "torch, 1 process", "torch, 2 processes"]
    for name in measured:
        assert rows[name].not_measured is None
        assert rows[name].characters_per_second == pytest.approx(6 / rows[name].milliseconds * 1e3)
        assert f"\n{name} " in device_times.render()
    if native_problem() is None:
        native = rows["native"].milliseconds
        assert rows["torch"].times_native == pytest.approx(rows["torch"].milliseconds / native)
    assert json.loads(json.dumps(device_times.to_dict()))["workload"]["rounds"] == 2


def test_what_cannot_be_measured_says_only_why(device_times):
    reasons = {row.name: row.not_measured for row in device_times.rows}
    assert reasons["torch, 4 processes"] == "the workload has 2 streams"
    if device_speed.cuda_problem() is None:
        pytest.skip("a GPU is measured here")
    for name in ("cuDNN alone", "torch, CUDA eager", "torch, CUDA graphs"):
        assert reasons[name] == "no CUDA device"
        assert f"\n{name}: not measured: no CUDA device\n" in device_times.render()


def test_without_pytorch_only_the_native_engine_is_timed(monkeypatch):
    monkeypatch.setattr(device_speed, "torch_problem", lambda: "no PyTorch")
    times = device_speed.measure_devices(tiny("rnn-128", batch_size=2), rounds=1)
    first, *others = times.rows
    assert (first.not_measured is None) == (native_problem() is None)
    assert {row.not_measured for row in others} == {"no PyTorch"}


def test_a_process_of_a_benchmark_that_ended_is_noticed(monkeypatch):
    monkeypatch.setattr(timed_processes, "LEADER", "this_module_does_not_exist")
    with (
        timed_processes.led_processes(tiny("rnn-128"), 1) as work,
        pytest.raises(EngineError, match="a training process of the benchmark ended"),
    ):
        work(1)


def test_the_bare_loop_clips_only_if_it_should(monkeypatch):
    torch = pytest.importorskip("torch")
    from charloom.bench import pytorch

    clipped = []
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *p, **more: clipped.append(p))
    for clip in (1.0, 0.0):
        config = tiny("gru-128", batch_size=2).config.replace(clip=clip)
        pytorch.steps(config, 65, bench_text(65), 1)(3)
    assert len(clipped) == 3


# Output


def test_the_columns_of_a_table_are_aligned():
    assert table(["", "ms"], [["a", "1"], ["longer", "22.5"]]) == [
        "          ms",
        "a          1",
        "longer  22.5",
    ]


def test_the_workloads_are_listed():
    shown = charloom_("bench --list").stdout
    assert [line.split()[0] for line in shown.splitlines()] == [CLASSIC, *WORKLOADS]
    assert "training step of lstm 2×512, K = 65: B = 64, T = 128" in shown
    assert list(json.loads(charloom_("bench --list --json").stdout)) == [CLASSIC, *WORKLOADS]


def test_a_workload_is_printed_as_text_or_json(monkeypatch):
    class Times:
        def render(self):
            return "a table"

        def to_dict(self):
            return {"rows": []}

    workloads = []
    monkeypatch.setattr("charloom.bench.measure", lambda *given: workloads.append(given) or Times())
    assert charloom_("bench --workload gru-128 --rounds 4").stdout == "a table\n"
    assert json.loads(charloom_("bench --workload gru-128 --json").stdout) == {"rows": []}
    assert charloom_("bench --workload gru-128 --engine torch").stdout == "a table\n"
    assert workloads == [
        ("gru-128", 4, None), ("gru-128", None, None), ("gru-128", None, "torch"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--workload gru-9", "it must be one of classic, lstm-100"),
        ("--engine torch", "leave out --engine, or name another --workload"),
        ("--workload gru-9 --hidden-size 9", "it must be one of classic, lstm-100"),
        ("--workload gru-128 --hidden-size 9", "has fixed sizes"),
        ("--workload gru-128 --vocabulary-size 9", "has fixed sizes"),
        ("--workload gru-128 --rounds 0", "rounds is 0"),
        ("--workload gru-128 --devices --rounds 0", "rounds is 0"),
        ("--devices", "leave out --devices, or name another --workload"),
        (
            "--workload gru-128 --devices --engine torch",
            "--devices compares engines: leave out --engine",
        ),
        ("--workload sample-2x512 --devices", "times sampling, which uses one device"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(options, sentence):
    done = charloom_(f"bench {options}")
    assert done.exit_code == 2
    assert sentence in done.stderr
