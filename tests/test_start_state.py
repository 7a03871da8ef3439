"""A text begins in the state at the end of training or in the zero state, and bad starts are found."""

import dataclasses
import json
import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.cooperative import run_all_slices
from charloom.engines import open_engine
from charloom.errors import ConfigError
from charloom.messages import for_python
from charloom.model import (
    StartLosses,
    beginning,
    copy_learner,
    first_stream_state,
    new_learner,
    start_id,
    stored_state,
    zero_state,
)
from charloom.model.schedule import Schedule
from charloom.random import uniforms
from charloom.report import write_report
from charloom.store import load_checkpoint, load_model, model_bytes
from charloom.store.model_file import parse_model
from charloom.text import Windows
from charloom.training import learn
from charloom.training.start_measurement import lines_of, measure_starts
from charloom.training.start_message import bad_start, bad_starts
from file_contents import tree
from planted_starts import (
    BAD_TEXT,
    BAD_ZERO,
    CORPUS,
    HEALTHY,
    measured_as,
    trained,
    with_a_second_regime,
)
from small_runs import ENGINES, after, small_config

pytestmark = pytest.mark.usefixtures("kept_plots")

CONFIG = small_config(hidden_size=10, epochs=3)


@pytest.fixture(scope="module")
def healthy():
    """Return a trained model that writes well from every start."""
    return trained(CONFIG)


@pytest.fixture(scope="module")
def bad(healthy):
    """Return a model that writes garbage from the zero state, with the losses that are measured for it."""
    learner = with_a_second_regime(healthy)
    return dataclasses.replace(learner, start_losses=measured(learner))


def measured(learner, engine="reference", ids=CORPUS.ids):
    """Return the losses of a learner from each start."""
    windows = Windows.of(learner.config, len(ids))
    return run_all_slices(measure_starts(learner, ids, windows, open_engine(engine)))


def model(learner, engine="reference"):
    """Return the learner as a `Model`."""
    return charloom.Model(learner, open_engine(engine))


# The state in which a text begins


def test_a_text_begins_in_the_state_of_training_and_reads_a_line_feed_before_its_prompt(healthy):
    engine, state, read = open_engine("reference"), first_stream_state(healthy.state), "\nthe "
    for character in read:
        logits, state = engine.step(healthy, healthy.vocabulary.encode(character), state)
    text = ""
    for uniform in uniforms(7, "sample", 40):
        p = np.exp(logits[0].astype(np.float64) - logits.max())
        drawn = int(np.searchsorted(np.cumsum(p / p.sum()), uniform))
        text += healthy.vocabulary.characters[drawn]
        logits, state = engine.step(healthy, np.array([drawn]), state)
    assert model(healthy).sample("the ", 40, seed=7) == text
    assert model(healthy).sample("the ", 40, seed=7, start="text") == text
    assert model(healthy).sample("the ", 40, seed=7, start="zero") != text


def test_from_the_zero_state_only_an_empty_prompt_is_replaced_by_a_line_feed(healthy):
    prompt = healthy.vocabulary.encode("the ")
    for ids, wanted in ((prompt, "the "), (prompt[:0], "\n")):
        read, state = beginning(healthy, ids, "zero")
        assert (healthy.vocabulary.decode(read), state) == (wanted, None)
    read, state = beginning(healthy, prompt[:0], "text")
    assert healthy.vocabulary.decode(read) == "\n"
    assert state["h"].tobytes() == healthy.state["h"].tobytes()


def test_a_model_without_a_state_begins_in_the_zero_state():
    learner = new_learner(CONFIG, CORPUS.vocabulary)
    assert stored_state(learner) is None
    prompt = learner.vocabulary.encode("the ")
    assert beginning(learner, prompt, "text")[0].tolist() == prompt.tolist()
    assert model(learner).sample("the ") == model(learner).sample("the ", start="zero")


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_every_engine_writes_the_same_text_from_the_state_of_training(cell):
    config = small_config(cell=cell, layers=2, batch_size=2, dtype="float64", sigma=0.8)
    learner = new_learner(config, CORPUS.vocabulary)
    for array in learner.state.values():
        array[...] = np.linspace(-1, 1, array.size).reshape(array.shape)
    texts = {model(learner, engine).sample("the ", 200, seed=3) for engine in ENGINES}
    assert len(texts) == 1
    assert texts != {model(learner).sample("the ", 200, seed=3, start="zero")}


def test_a_stream_has_the_text_of_a_sample(healthy):
    assert "".join(model(healthy).stream("the ", start="zero")) == model(healthy).sample(
        "the ", start="zero"
    )


def test_another_start_is_refused(healthy):
    with pytest.raises(ConfigError, match=r"start is 'line'; it must be one of text, zero"):
        model(healthy).sample(start="line")


def test_run_checkpoint_and_model_file_write_the_same_text(tmp_path):
    small_runs.train(tmp_path / "run", cell="lstm", batch_size=2, validation=0.2)
    opened = charloom.load(tmp_path / "run")
    opened.save(tmp_path / "model.safetensors")
    best = tmp_path / "run" / "checkpoints" / str(opened.update)
    text = opened.sample("the ")
    assert text != opened.sample("the ", start="zero")
    for path in (tmp_path / "model.safetensors", best, best / "model.safetensors"):
        assert charloom.load(path).sample("the ") == text


def test_a_model_trained_further_begins_without_a_state(tmp_path, healthy):
    model(healthy).save(tmp_path / "model.safetensors")
    tuned = charloom.train(
        string="the cat " * 20,
        from_model=tmp_path / "model.safetensors",
        run=tmp_path / "run",
        updates=1,
    )
    first = load_checkpoint(tmp_path / "run" / "checkpoints" / "0").learner
    assert stored_state(first) is None
    assert stored_state(tuned.learner) is not None


def test_an_exported_model_begins_in_the_zero_state(tmp_path, healthy):
    charloom.export(model(healthy), tmp_path / "model.torch.safetensors")
    imported = charloom.import_model(tmp_path / "model.torch.safetensors")
    assert stored_state(imported.learner) is None
    assert imported.sample("the ") == model(healthy).sample("the ", start="zero")


def test_an_export_warns_if_the_model_writes_badly_from_the_zero_state(tmp_path, healthy, bad):
    path = tmp_path / "model.torch.safetensors"
    for write in (lambda: model(bad).export(path), lambda: charloom.export(model(bad), path)):
        with pytest.warns(UserWarning, match="The exported model begins in the zero state"):
            write()
    for name, learner in (("bad", bad), ("healthy", healthy)):
        model(learner).save(tmp_path / name)
        done = CliRunner().invoke(
            app, ["export", str(tmp_path / name), "--output", str(path), "--force"]
        )
        assert ("The exported model begins in the zero state" in done.stderr) is (name == "bad")
        assert done.exit_code == 0


@pytest.mark.parametrize("to", ["html", "hub"])
def test_an_export_with_the_start_warns_only_if_the_model_writes_badly_from_it(
    tmp_path, healthy, to
):
    for losses, warned in ((BAD_ZERO, False), (BAD_TEXT, True)):
        other = dataclasses.replace(healthy, start_losses=losses)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model(other).export(tmp_path / to, to)
        assert [str(warning.message)[:56] for warning in found] == [
            "From the state at the end of its training, the model wri"
        ] * warned


def test_commands_that_read_from_the_zero_state_say_if_the_model_is_bad_there(
    tmp_path, healthy, bad
):
    text = small_runs.TEXT * 2
    for name, learner in (("bad", bad), ("healthy", healthy)):
        model(learner).save(tmp_path / name)
        (tmp_path / "text.txt").write_text(text, encoding="utf-8")
        for words in (
            ["score", str(tmp_path / name), "--text", text],
            ["neurons", str(tmp_path / name), "--property", "vowel", "--text", text],
            ["evaluate", str(tmp_path / name), str(tmp_path / "text.txt")],
        ):
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, done.stderr
            assert ("The text is read from the zero state, so" in done.stderr) is (name == "bad")


@pytest.mark.parametrize("command", ["evaluate", "score", "neurons"])
def test_the_help_says_that_a_text_is_read_from_the_zero_state(command):
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    assert "text is read from the zero state" in " ".join(shown.split()).lower()


def test_an_exported_network_has_no_losses_that_were_measured_with_n_grams(tmp_path):
    """The network of a model without n-grams is the model, so its losses stay."""
    config = small_runs.small_config(ngram_order=3, updates=2)
    for order, warned in ((3, False), (0, True)):
        learner = trained(config.replace(ngram_order=order))
        learner.start_losses = StartLosses(1.5, 1.6, 8.0, 8.0)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            path = tmp_path / "model.torch.safetensors"
            model(learner).export(path, network_alone=True)
        assert bool(caught) is warned


# The measured losses


def test_a_healthy_model_has_no_bad_start(healthy):
    assert healthy.start_losses == measured(healthy)
    assert healthy.start_losses.text < healthy.start_losses.context + 0.2
    assert bad_starts(healthy.start_losses) is None
    for start in ("text", "zero"):
        assert bad_start(healthy, start, prompt=True) is None
        assert bad_start(healthy, start, prompt=False) is None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_planted_second_regime_is_found_from_the_zero_state_only(healthy, bad, engine):
    losses = measured(bad, engine)
    assert losses.context == pytest.approx(healthy.start_losses.context, abs=1e-3)
    assert losses.text == pytest.approx(healthy.start_losses.text, abs=1e-3)
    assert min(losses.zero, losses.zero_alone) > losses.context + 5
    assert bad_start(bad, "text", prompt=True) is None
    assert "the zero state" in bad_start(bad, "zero", prompt=True)
    # The garbage itself: from the zero state, the model writes only the character of the planted regime.
    planted = bad.vocabulary.characters[-1]
    with pytest.warns(UserWarning, match="From the zero state"):
        assert set(model(bad, engine).sample("the ", 100, start="zero")) == {planted}
    assert model(bad, engine).sample("the ", 100) == model(healthy, engine).sample("the ", 100)


def test_a_bad_state_of_training_is_found(bad):
    learner = copy_learner(bad)
    learner.state["h"][...], wrong = 0, learner.state["h"].copy()
    wrong[..., -1] = -1
    learner.state["h"][...] = wrong
    learner.parameters["layers.0.b"][-1] = 0.1  # from 0 on, the planted unit goes to 1
    learner.start_losses = measured(learner)
    assert not learner.start_losses.is_bad("zero", prompt=True)
    problem = bad_start(learner, "text", prompt=False)
    assert "the state at the end of its training" in problem
    assert for_python(problem).endswith('Begin with start="zero".')


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_engines_measure_the_same_losses(healthy, engine):
    found = dataclasses.astuple(measured(healthy, engine))
    assert found == pytest.approx(dataclasses.astuple(healthy.start_losses), abs=2e-4)


def test_lines_begin_after_a_line_feed_and_have_the_text_before_them(healthy):
    ids = np.tile(CORPUS.ids, 5)
    lines = lines_of(healthy, ids, Windows.of(CONFIG, len(ids)))
    feed = start_id(healthy)[0]
    assert lines.alone.shape == (101, 1 + (len(ids) - 429) // 2_000)
    assert lines.count > 2
    assert (lines.after_start_id[0] == feed).all()
    assert (lines.in_context[128] == feed).all()
    for rows in (lines.in_context[129:], lines.after_start_id[1:]):
        assert (rows == lines.alone).all()
    text = CORPUS.vocabulary.decode(ids)
    assert all(CORPUS.vocabulary.decode(column) in text for column in lines.in_context.T)


def lines_of_the_specification(ids, feed, begin, end):
    """Return where each line begins, as the specification says it, with plain loops."""
    m = end - begin - 429
    count = min(64, m // 2_000 + 1)
    found = []
    for i in range(count):
        piece = begin + i * m // count
        feeds = [j for j in range(128, 328) if ids[piece + j] == feed]
        found.append(piece + (feeds[0] if feeds else 128) + 1)
    return found


@pytest.mark.parametrize("characters", [429, 2_428, 2_429, 126_429, 128_428, 200_000])
def test_the_lines_are_those_of_the_specification(healthy, characters):
    begin, feed = 17, int(start_id(healthy)[0])
    rng = np.random.default_rng(0)
    # Each id is its own place, except for the line feeds. So an id says where it was read.
    ids = np.arange(1_000, 1_000 + begin + characters + 50)
    ids[rng.random(len(ids)) < 0.01] = feed
    windows = SimpleNamespace(parts={"train": [(begin, begin + characters)]})
    lines = lines_of(healthy, ids, windows)
    wanted = lines_of_the_specification(ids, feed, begin, begin + characters)
    assert lines.alone.T.tolist() == [ids[line : line + 101].tolist() for line in wanted]
    assert lines.in_context.T.tolist() == [ids[line - 129 : line + 101].tolist() for line in wanted]


def test_the_losses_are_those_of_the_specification(healthy):
    ids, engine = np.tile(CORPUS.ids, 5), open_engine("reference")
    feed = start_id(healthy)
    carried, zero = first_stream_state(healthy.state), zero_state(healthy.config, 1)
    starts = {
        "context": (carried, 129),
        "text": (carried, 1),
        "zero": (zero, 0),
        "zero_alone": (zero, 1),
    }
    losses = dict.fromkeys(starts, 0.0)
    begin, end = Windows.of(CONFIG, len(ids)).parts["train"][0]
    lines = lines_of_the_specification(ids, int(feed[0]), begin, end)
    for line in lines:
        for name, (state, before) in starts.items():
            read = [*(ids[line - 129 : line - 1] if before == 129 else []), *feed[: min(before, 1)]]
            for i, token in enumerate([*read, *ids[line : line + 100]]):
                logits, state = engine.step(healthy, np.array([token]), state)
                if i >= len(read):
                    z = logits[0].astype(np.float64)
                    losses[name] += np.log(np.exp(z).sum()) - z[ids[line + 1 + i - len(read)]]
    found = measured(healthy, ids=ids)
    for name, total in losses.items():
        assert getattr(found, name) == pytest.approx(total / len(lines) / 100, abs=1e-4)
        assert getattr(found, name) == round(getattr(found, name), 4)


def test_a_start_is_bad_if_its_loss_is_more_than_half_a_nat_too_high():
    for loss, bad in ((1.5, False), (1.5001, True)):
        losses = StartLosses(context=1.0, text=loss, zero=1.0, zero_alone=1.0)
        assert losses.is_bad("text", prompt=True) is bad


def test_a_text_without_a_line_feed_or_of_too_few_characters(healthy):
    learner = new_learner(CONFIG, CORPUS.vocabulary)
    for _ in learn(learner, CORPUS.ids[:429], open_engine("reference")):
        pass
    assert learner.start_losses is not None
    assert measured(learner, ids=CORPUS.ids[:428]) is None
    spaces = np.full(1_000, CORPUS.vocabulary.encode(" ")[0], CORPUS.ids.dtype)
    assert measured(healthy, ids=spaces) is not None


def test_losses_are_measured_at_the_end_and_for_each_best_model_only():
    config = small_config(hidden_size=10, epochs=3, validation=0.2)
    learner = new_learner(config, CORPUS.vocabulary)
    per_epoch = Schedule.of(config, len(CORPUS)).windows.per_epoch
    known = {}
    for _ in learn(learner, CORPUS.ids, open_engine("reference")):
        known[learner.update] = learner.start_losses is not None
    assert {update for update, has in known.items() if has} <= {n * per_epoch for n in (1, 2, 3)}
    assert known[learner.best_update]
    assert known[learner.update]


@pytest.mark.parametrize(
    ("losses", "start", "prompt", "words"),
    [
        (BAD_ZERO, "zero", False, 'without a prompt, .* 8.25 nats .* but with 1.50 if .* Begin with start="text"'),
        (BAD_ZERO, "zero", True, None),
        (BAD_ZERO, "text", False, None),
        (BAD_TEXT, "text", True, '2.50 nats .* 1.50 .* Begin with start="zero"'),
        (StartLosses(1.5, 9.0, 9.0, 9.0), "text", True, "Train the model further"),
        (StartLosses(5.0, 5.0, 1.5, 9.0), "text", True, "but with 1.50 from the zero state"),
        (HEALTHY, "zero", False, None),
        (None, "zero", False, None),
    ],
)  # fmt: skip
def test_the_message_of_a_sample_names_the_losses_and_a_better_start(
    healthy, losses, start, prompt, words
):
    learner = dataclasses.replace(healthy, start_losses=losses)
    problem = bad_start(learner, start, prompt)
    if words is None:
        assert problem is None
    else:
        assert re.search(words, for_python(problem))


def test_the_message_at_the_end_of_training():
    assert bad_starts(None) is None
    assert bad_starts(HEALTHY) is None
    assert for_python(bad_starts(BAD_ZERO)).endswith('unless you choose start="zero".')
    both = dataclasses.replace(BAD_ZERO, zero=8.5)
    assert "Evaluations and exported models begin in the zero state" in bad_starts(both)
    assert "the state at the end of its training" in bad_starts(BAD_TEXT)


# Storing them


def test_a_model_file_keeps_state_and_losses_and_saves_them_again(healthy):
    loaded = parse_model(model_bytes(healthy), "a model")
    assert loaded.start_losses == healthy.start_losses
    assert loaded.state["h"].tobytes() == healthy.state["h"].tobytes()
    assert model_bytes(loaded) == model_bytes(healthy)


def test_weights_that_were_changed_by_hand_lose_their_losses(tmp_path, bad):
    changed = model(copy_learner(bad))
    changed.parameters["c"][0] += 1
    changed.sample(start="zero")  # no warning: what was measured is not known to hold any more
    changed.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").start_losses is None


@pytest.mark.parametrize("settings", [{}, {"validation": 0.2, "cell": "lstm", "batch_size": 2}])
def test_a_resumed_run_stores_the_same_state_and_losses_bit_for_bit(tmp_path, settings):
    corpus = CORPUS
    small_runs.train(tmp_path / "whole", corpus, **settings)
    small_runs.train(tmp_path / "parts", corpus, halt=after(9), **settings)
    while small_runs.resume(tmp_path / "parts", halt=after(9))[-1].state != "finished":
        pass
    for name in ("latest", "best"):
        whole, parts = (load_model(tmp_path / run, name) for run in ("whole", "parts"))
        assert whole.start_losses is not None or name == "best"
        assert model_bytes(whole) == model_bytes(parts)
    newest = str(load_model(tmp_path / "whole", "latest").update)
    one, other = (tree(tmp_path / run / "checkpoints" / newest) for run in ("whole", "parts"))
    assert one == other


def test_an_extended_run_forgets_the_losses_of_its_earlier_end(tmp_path):
    small_runs.train(tmp_path / "run", CORPUS, epochs=1)
    before = load_model(tmp_path / "run")
    assert before.start_losses is not None
    small_runs.resume(tmp_path / "run", halt=after(2), epochs=2)
    assert load_model(tmp_path / "run").start_losses is None


# What users see


def test_python_warns_at_the_end_of_training_and_when_it_samples(tmp_path):
    with (
        measured_as(BAD_ZERO),
        pytest.warns(UserWarning, match="and without a prompt, the model writes badly"),
    ):
        made = charloom.train(string=small_runs.TEXT, updates=3, recipe="classic", hidden_size=4)
    with pytest.warns(UserWarning, match=r"8\.25 nats"):
        made.sample(start="zero")
    made.sample()
    made.sample("the ", start="zero")
    with measured_as(BAD_ZERO), pytest.warns(UserWarning, match='unless you choose start="zero"'):
        charloom.train(
            string=small_runs.TEXT, updates=3, recipe="classic", hidden_size=4, run=tmp_path / "run"
        )


def test_the_command_line_says_it_at_the_end_of_training_and_when_it_samples(tmp_path):
    (tmp_path / "cat.txt").write_text(small_runs.TEXT, encoding="utf-8")
    run, runner = str(tmp_path / "run"), CliRunner()
    text = [str(tmp_path / "cat.txt"), "--run", run, "--recipe", "classic", "--updates", "3"]
    with measured_as(BAD_ZERO):
        done = runner.invoke(app, ["train", *text, "--hidden-size", "4", "--json"])
    assert "from the zero state and without a prompt, the model writes badly" in done.stderr
    assert "unless you choose --start zero" in done.stderr
    assert json.loads(done.stdout)["start_nats"] == dataclasses.asdict(BAD_ZERO)
    for options, warned in (
        (["--start", "zero"], True),
        (["--start", "zero", "--prompt", "the "], False),
        (["--start", "text"], False),
        ([], False),
    ):
        done = runner.invoke(app, ["sample", run, *options])
        assert ("Begin with --start text." in done.stderr) is warned
        assert done.exit_code == 0
    done = runner.invoke(app, ["sample", run, "--json"])
    assert json.loads(done.stdout)["start"] == "text"
    done = runner.invoke(app, ["sample", run, "--start", "line"])
    assert done.exit_code == 2
    assert "--start is 'line'; it must be one of text, zero" in done.stderr


def test_the_report_says_it_beside_the_passage(tmp_path):
    for name, losses in (("bad", BAD_ZERO), ("good", HEALTHY)):
        with measured_as(losses):
            small_runs.train(tmp_path / name)
    pages = {
        name: write_report(tmp_path / name).read_text(encoding="utf-8") for name in ("bad", "good")
    }
    words = "without a prompt, the model writes badly"
    assert words in pages["bad"]
    assert words not in pages["good"]


def test_the_event_finished_has_the_losses_of_the_model_that_wrote_the_passage(tmp_path):
    small_runs.train(tmp_path / "run", CORPUS, validation=0.2)
    event = json.loads((tmp_path / "run" / "events.jsonl").read_bytes().splitlines()[-1])
    best = load_model(tmp_path / "run", "best")
    assert event["passage"] == best.update
    assert event["start_nats"] == dataclasses.asdict(best.start_losses)
