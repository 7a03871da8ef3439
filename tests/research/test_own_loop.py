"""A loop of one's own trains with the same bits as `train`, and lets everything change in between."""

import numpy as np
import pytest

import charloom
from charloom.api import training_plan
from charloom.errors import ConfigError, DivergedError, NotAModelError, TextError, WriteError
from charloom.model import copy_learner, new_learner
from charloom.research import Config, Corpus, Trace, TrainingLoop, averaged, configure
from charloom.text import corpus as corpus_module
from charloom.training import train_in_memory
from small_runs import ENGINES, TEXT, small_config, small_corpus

CASES = {
    "plain": {},
    "lstm of two layers": {"cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam"},
    "gru in chunks": {"cell": "gru", "order": "chunks", "chunks": 4, "clip_by": "norm"},
    "at random": {"order": "random", "batch_size": 2, "dropout": 0.3, "reduction": "mean"},
    "averaged": {"averaging": 0.2, "weight_decay": 0.01, "optimizer": "adamw"},
    "n-grams and pairs": {"ngram_order": 3, "input_pairs": 5, "batch_size": 2},
}


def bits_of(learner):
    """Return everything that training changes in a learner, as bytes and numbers."""
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    counters = (learner.update, learner.position, learner.epoch, learner.smooth_loss)
    return [array.tobytes() for array in arrays], counters


def trained(config, updates):
    """Return the learner that charloom trains itself."""
    corpus = small_corpus()
    learner = new_learner(config.replace(updates=updates), corpus.vocabulary)
    for _ in train_in_memory(learner, corpus.ids, loop_of(config).engine):
        pass
    return learner


def loop_of(config, **others):
    return TrainingLoop(small_corpus(), config, **others)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_a_loop_has_the_bits_of_train_however_its_updates_are_divided(settings, engine):
    config = small_config(engine=engine, **settings)
    wanted = bits_of(trained(config, 50))
    one_by_one, at_once = loop_of(config), loop_of(config)
    losses = [float(one_by_one.step().losses[0]) for _ in range(50)]
    trace = at_once.step(updates=50)
    assert bits_of(one_by_one.learner) == bits_of(at_once.learner) == wanted
    assert losses == trace.losses.tolist()
    assert len(trace.gradient_norms) == 50


def test_a_loop_with_threads_0_has_the_threads_and_bits_of_train(monkeypatch):
    monkeypatch.setattr(training_plan, "processors", lambda: 2)
    config = configure("char-rnn", hidden_size=8, layers=1, batch_size=4, updates=12)
    assert config.threads == 0
    loop = TrainingLoop(small_corpus(), config)
    loop.step(updates=12)
    assert (loop.learner.config.threads, loop.engine.threads) == (2, 2)
    settings = {"recipe": "char-rnn", "hidden_size": 8, "layers": 1, "batch_size": 4}
    model = charloom.train(string=TEXT, updates=12, which="latest", **settings)
    own = averaged(loop.learner).parameters
    for name, array in model.parameters.items():
        assert array.tobytes() == own[name].tobytes(), name
    again = TrainingLoop(small_corpus(), learner=new_learner(config, small_corpus().vocabulary))
    assert again.engine.threads == 2


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_applying_the_gradients_is_the_same_update(settings):
    config = small_config(engine="reference", **settings)
    stepping, applying = loop_of(config), loop_of(config)
    for _ in range(50):
        stepping.step()
        applying.apply(applying.gradients())
    assert bits_of(stepping.learner) == bits_of(applying.learner)


@pytest.mark.skipif("native" not in ENGINES, reason="the native engine was not built")
def test_numpy_applies_gradients_as_the_native_engine_does():
    config = small_config(
        engine="native", dtype="float64", optimizer="adam", clip_by="norm", clip=0.5
    )
    stepping, applying = loop_of(config), loop_of(config)
    for _ in range(50):
        stepping.step()
        applying.apply(applying.gradients())
    for name, array in stepping.learner.parameters.items():
        assert np.allclose(array, applying.learner.parameters[name], rtol=0, atol=1e-12), name


def test_the_gradients_are_those_of_the_loss():
    config = small_config(cell="gru", dtype="float64", batch_size=2, reduction="mean")
    loop = loop_of(config)
    loop.step(updates=7)
    window = loop.gradients()
    for name, array in loop.learner.parameters.items():
        for place in (0, array.size // 2, array.size - 1):
            before, losses = array.flat[place], []
            for change in (1e-5, -1e-5):
                array.flat[place] = before + change
                losses.append(loop.gradients().loss)
            array.flat[place] = before
            slope = (losses[0] - losses[1]) / 2e-5 / config.seq_length
            assert window.gradients[name].flat[place] == pytest.approx(slope, abs=1e-8), name


def test_the_states_are_those_of_reading_step_by_step():
    loop = loop_of(small_config(cell="lstm", layers=2, batch_size=3))
    loop.step(updates=3)
    window, found, state = loop.gradients(), loop.states(), loop.learner.state
    assert found["h"].shape == found["cell"].shape == (10, 2, 3, 8)
    for t in range(10):
        _, state = loop.engine.step(loop.learner, window.x[t], state)
        for name, array in state.items():
            assert np.allclose(found[name][t], array, atol=1e-6)


def test_looking_at_gradients_and_states_changes_nothing():
    looking, blind = loop_of(small_config()), loop_of(small_config())
    for _ in range(60):  # more than an epoch
        looking.gradients(), looking.states(), looking.sample(5)
        looking.step(), blind.step()
    assert bits_of(looking.learner) == bits_of(blind.learner)


def test_a_learning_rate_of_ones_own_is_used():
    ours = small_config(schedule="cosine", cosine_end=0.1, updates=40)
    theirs = ours.replace(schedule="constant", learning_rate=1.0)
    given, at_once, scheduled = loop_of(theirs), loop_of(theirs), loop_of(ours)
    rates = []
    for _ in range(40):
        rates.append(scheduled.learning_rate)
        given.step(rates[-1])
        scheduled.step()
    assert len(at_once.step(rates).losses) == 40
    assert bits_of(given.learner) == bits_of(at_once.learner) == bits_of(scheduled.learner)
    scheduled.learner.learning_rate_factor = 0.5
    given.step(scheduled.learning_rate)
    scheduled.step()
    assert bits_of(given.learner) == bits_of(scheduled.learner)
    assert scheduled.finished
    assert not loop_of(ours).finished


@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam", "weight_decay": 0.1}, {"averaging": 0.5}]
)
@pytest.mark.parametrize("way", ["step", "apply"])
def test_frozen_parameters_keep_their_bits_and_the_others_change(settings, way):
    loop = loop_of(small_config(**settings), frozen=["layers.0.W", "c"])
    before = copy_learner(loop.learner)
    for _ in range(5):
        loop.step() if way == "step" else loop.apply(loop.gradients())
    for name, array in loop.learner.parameters.items():
        same = array.tobytes() == before.parameters[name].tobytes()
        assert same == (name in loop.frozen), name
        for slot, arrays in loop.learner.slots.items():
            same = arrays[name].tobytes() == before.slots[slot][name].tobytes()
            assert same == (name in loop.frozen), (slot, name)


@pytest.mark.parametrize("way", ["step", "apply"])
def test_the_model_has_the_frozen_weights_also_if_weights_are_averaged(way):
    loop = loop_of(small_config(averaging=0.5, seq_length=2))
    loop.step(updates=60)
    loop.frozen = ["layers.0.W"]  # its average lags behind
    loop.learner.parameters["layers.0.W"][...] = np.eye(8)
    for _ in range(3):
        loop.step() if way == "step" else loop.apply(loop.gradients())
    model = loop.model().parameters
    assert np.array_equal(model["layers.0.W"], np.eye(8))
    assert not np.array_equal(model["V"], loop.learner.parameters["V"])


def test_parameters_without_a_gradient_are_averaged():
    loop = loop_of(small_config(averaging=0.5))
    loop.learner.parameters["c"][0] = 3
    for _ in range(40):
        window = loop.gradients()
        loop.apply(window, {"V": window.gradients["V"]})
    # The average of the first updates is the parameter itself; later it moves to it.
    assert loop.model().parameters["c"][0] == pytest.approx(3)


def test_frozen_gradients_count_for_clipping_by_norm_in_both_ways():
    config = small_config(optimizer="sgd", clip=0.5, clip_by="norm", engine="reference")
    frozen = ["layers.0.U", "layers.0.W", "c"]
    stepping, applying = loop_of(config, frozen=frozen), loop_of(config, frozen=frozen)
    for _ in range(10):
        stepping.step()
        applying.apply(applying.gradients())
    assert bits_of(stepping.learner) == bits_of(applying.learner)


def test_gradients_of_ones_own_change_only_their_parameters():
    loop = loop_of(small_config(optimizer="sgd", momentum=0.0, clip=0.0, engine="reference"))
    before, window = copy_learner(loop.learner), loop.gradients()
    loop.apply(window, {"V": 2 * window.gradients["V"]}, learning_rate=0.5)
    wanted = before.parameters["V"] - np.float32(0.5) * (2 * window.gradients["V"])
    assert np.allclose(loop.learner.parameters["V"], wanted, atol=1e-7)
    assert np.array_equal(loop.learner.parameters["layers.0.W"], before.parameters["layers.0.W"])
    assert (loop.learner.update, loop.learner.position) == (1, 10)


def test_initial_weights_may_be_changed_in_place():
    loop = loop_of(small_config())
    loop.learner.parameters["layers.0.W"][...] = np.eye(8)
    other = loop_of(small_config())
    loop.step(), other.step()
    assert bits_of(loop.learner) != bits_of(other.learner)


def averaging_loop():
    return loop_of(small_config(averaging=0.5, validation=0.2))


def test_the_model_has_initial_weights_that_were_changed_in_place_also_if_weights_are_averaged():
    loop, plain = averaging_loop(), loop_of(small_config(validation=0.2))
    before = loop.evaluate()
    for one in (loop, plain):
        one.learner.parameters["V"][...] = 1
        one.learner.parameters["c"][...] = np.arange(len(one.learner.parameters["c"]))
    assert loop.evaluate() == plain.evaluate() > before + 1
    assert loop.sample(20) == plain.sample(20)
    assert (loop.model().parameters["V"] == 1).all()


def test_a_restarted_average_has_the_weights_that_were_changed_in_place(tmp_path):
    loop = averaging_loop()
    loop.step(updates=60)
    before, average = loop.evaluate(), loop.model().parameters["layers.0.W"]
    loop.learner.parameters["V"][...] = 0
    assert loop.evaluate() == before  # the average does not change by itself
    loop.restart_average(["V"])
    assert loop.evaluate() > before + 0.1
    assert (loop.model().parameters["V"] == 0).all()
    assert np.array_equal(loop.model().parameters["layers.0.W"], average)
    loop.save(tmp_path / "saved")
    assert (charloom.load(tmp_path / "saved").parameters["V"] == 0).all()
    loop.restart_average()
    assert np.array_equal(loop.model().parameters["c"], loop.learner.parameters["c"])
    with pytest.raises(ConfigError, match="there is no parameter"):
        loop.restart_average("v")
    plain = loop_of(small_config())
    plain.restart_average()
    assert "average" not in plain.learner.slots


def test_a_saved_loop_continues_with_the_same_bits(tmp_path):
    config = small_config(cell="lstm", optimizer="adam", ngram_order=2)
    whole, first = loop_of(config), loop_of(config)
    whole.step(updates=60)
    first.step(updates=25)
    first.save(tmp_path / "saved")
    second = TrainingLoop.load(tmp_path / "saved", small_corpus())
    second.step(updates=35)
    assert bits_of(second.learner) == bits_of(whole.learner)
    with pytest.raises(TextError, match="another text"):
        TrainingLoop.load(tmp_path / "saved", Corpus.from_text(TEXT[::-1]))


def test_a_text_that_stays_on_the_disk_gives_the_same_bits(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 10)
    for settings in CASES.values():
        large = TrainingLoop(Corpus.open([path]), small_config(**settings))
        small = loop_of(small_config(**settings))
        assert not isinstance(large.corpus.ids, np.ndarray)
        for _ in range(3):
            large.step(), small.step()
            large.apply(large.gradients()), small.apply(small.gradients())
        assert bits_of(large.learner) == bits_of(small.learner)


def test_a_loop_evaluates_writes_and_gives_a_model(tmp_path):
    loop = loop_of(small_config(validation=0.2, averaging=0.5))
    loop.step(updates=30)
    model = loop.model()
    assert loop.evaluate() == pytest.approx(model.evaluate(split="validation").nats, abs=1e-6)
    assert len(loop.sample(17)) == 17
    assert np.array_equal(model.parameters["V"], averaged(loop.learner).parameters["V"])
    model.save(tmp_path / "model.safetensors")
    assert charloom.load(tmp_path / "model.safetensors").sample(length=5)
    loop.step()
    assert not np.array_equal(model.parameters["V"], averaged(loop.learner).parameters["V"])


def test_what_is_wrong_is_said_in_one_sentence():
    loop = loop_of(small_config())
    window = loop.gradients()
    loop.step()
    for wrong, words in [
        (lambda: loop.apply(window), "the next update is 2"),
        (lambda: loop.step(-1.0), "learning_rate"),
        (lambda: loop.step([0.1, -1.0]), "one for each update"),
        (lambda: loop.step([]), "one for each update"),
        (lambda: loop.step(updates=0), "updates"),
        (lambda: loop.evaluate(), "validation"),
        (lambda: loop_of(small_config(), frozen=["W"]), "layers.0.W"),
        (lambda: loop_of(small_config(), frozen="V"), "a list of names"),
        (lambda: setattr(loop, "frozen", ["Vv"]), "there is no parameter"),
        (lambda: loop.step([0.1, "x"]), "one for each update"),
        (lambda: loop.step([0.1, 0.1], updates=7), "updates"),
        (lambda: loop.apply(loop.gradients(), {"V": np.zeros(3)}), "shape"),
        (lambda: loop.apply(loop.gradients(), {"v": np.zeros(3)}), "there is no parameter"),
        (lambda: TrainingLoop(small_corpus(), Config(), learner=loop.learner), "only one"),
    ]:
        with pytest.raises(ConfigError, match=words):
            wrong()
    with pytest.raises(TextError, match="vocabulary"):
        TrainingLoop(Corpus.from_text("abab" * 200), learner=loop.learner)


def test_a_corpus_that_is_none_is_refused(tmp_path):
    for wrong in ("book.txt", None, [TEXT]):
        with pytest.raises(ConfigError, match=r"it must be a Corpus\. Open a text"):
            TrainingLoop(wrong, small_config())
        with pytest.raises(ConfigError, match=r"it must be a Corpus\. Open a text"):
            TrainingLoop.load(tmp_path, wrong)


def test_a_run_directory_is_no_checkpoint_and_the_message_names_one(tmp_path):
    run = tmp_path / "run"
    charloom.train(string=TEXT, run=run, recipe="classic", hidden_size=4, updates=3)
    with pytest.raises(NotAModelError, match=r"Give one of its checkpoints, such as .*3, or"):
        TrainingLoop.load(run, small_corpus())
    assert TrainingLoop.load(run / "checkpoints" / "3", Corpus.from_text(TEXT)).learner.update == 3


def test_a_loop_is_not_saved_over_a_directory_that_exists(tmp_path):
    loop = loop_of(small_config())
    loop.save(tmp_path / "saved")
    with pytest.raises(WriteError, match="give a name that does not exist yet") as error:
        loop.save(tmp_path / "saved")
    assert "Check the disk" not in str(error.value)


def test_a_checkpoint_of_another_text_says_which_text_was_given(tmp_path):
    loop_of(small_config()).save(tmp_path / "saved")
    with pytest.raises(TextError, match="another text than the given one, 'letters'"):
        TrainingLoop.load(tmp_path / "saved", Corpus.from_text(TEXT[::-1], "letters"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.update(V=p["V"].astype("f8")), r"V has dtype float64; .* float32\. Change"),
        (lambda p: p.update(V=p["V"][:, :3].copy()), r"V has shape \(\d+, 3\); .*\(\d+, 8\)"),
        (lambda p: p.update(c=[0.0] * len(p["c"])), r"c is .*it must be an array of shape"),
        (lambda p: p.pop("c"), "c is None"),
        (lambda p: p["V"].fill(np.nan), "V has numbers that are not finite since your program"),
    ],
)
def test_a_replaced_parameter_is_named(change, words):
    loop = loop_of(small_config(engine="native", averaging=0.9))
    loop.step(updates=40)
    change(loop.learner.parameters)
    with pytest.raises((ConfigError, DivergedError), match=f"the parameter {words}"):
        loop.step()
    with pytest.raises((ConfigError, DivergedError), match=f"the parameter {words}"):
        loop.restart_average()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_number_that_is_not_finite_stops_the_loop_before_the_update(engine):
    loop = loop_of(small_config(engine=engine))
    loop.learner.parameters["V"][0, 0] = np.nan
    with pytest.raises(DivergedError):
        loop.step()
    with pytest.raises(DivergedError):
        loop.gradients()
    assert loop.learner.update == 0
    other = loop_of(small_config(engine=engine))
    with pytest.raises(DivergedError, match="must be finite"):
        other.apply(other.gradients(), {"c": np.full(len(other.corpus.vocabulary), np.nan)})
    assert other.learner.update == 0


def test_the_result_of_a_step_is_a_trace():
    assert isinstance(loop_of(small_config()).step(updates=100), Trace)
