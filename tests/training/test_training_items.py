"""Training on a collection of items: which windows it reads, its records, samples and resuming."""

import numpy as np
import pytest

import charloom
from charloom.config import Config
from charloom.engines import Plan, open_engine
from charloom.errors import ConfigError
from charloom.model import new_learner
from charloom.model.schedule import Schedule
from charloom.text import Corpus, corpus, id_cache
from charloom.text.collection import Collection
from charloom.text.id_file import IdFile
from charloom.training.ngram_counting import count_missing
from charloom.training.window_plan import planned_windows
from small_runs import ENGINES

ITEMS = "\n".join(f"{a}{b}{c}" for a in "abcd" for b in "efg" for c in ("h", "ij", "k" * 9))
SETTINGS = {
    "recipe": "classic", "items": "lines", "hidden_size": 5, "seq_length": 4, "batch_size": 3, "epochs": 2,
    "validation": 0.2, "sample_length": 40, "passage_length": 30, "report_every": 5, "dtype": "float64",
}  # fmt: skip


def weights(model):
    """Return the bytes of all weights of a model."""
    return b"".join(array.tobytes() for array in model.parameters.values())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("network", [{}, {"ngram_order": 3, "input_pairs": 8}], ids=["plain", "counts"])  # fmt: skip
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, engine, network):
    path = tmp_path / "names.txt"
    path.write_text(ITEMS)
    given = {**SETTINGS, "engine": engine, **network}
    whole = charloom.train(path, tmp_path / "whole", **given, which="latest")

    def stop(item):
        if getattr(item, "update", 0) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        charloom.train(path, tmp_path / "run", **given, listener=stop)
    resumed = charloom.resume(tmp_path / "run", which="latest")
    assert resumed.learner.update == whole.learner.update
    assert weights(resumed) == weights(whole)
    # The text is the same in memory, without a run directory.
    memory = charloom.train(string=ITEMS, **given, which="latest")
    assert weights(memory) == weights(whole)


@pytest.mark.parametrize("counts", [{}, {"ngram_order": 3}], ids=["plain", "counts"])
def test_a_collection_in_files_is_trained_with_the_same_bits(tmp_path, monkeypatch, counts):
    path = tmp_path / "names.txt"
    path.write_text(ITEMS)
    memory = charloom.train(path, **SETTINGS, **counts, which="latest")
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    stored = charloom.train(path, tmp_path / "run", **SETTINGS, **counts, which="latest")
    assert isinstance(charloom.text.Corpus.open([path], collection=Collection("lines")).ids.ids, IdFile)  # fmt: skip
    assert weights(stored) == weights(memory)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_columns_of_a_plan_say_which_n_grams_predict(engine):
    config = Config(hidden_size=4, seq_length=4, batch_size=2, ngram_order=3, dtype="float64")
    text = Corpus.from_text("abcabdabeabc" * 9)
    opened, losses = open_engine(engine), []
    rates, starts = np.full(3, 0.1), np.array([0, 50])
    for columns in (None, "same", "other"):
        learner = new_learner(config, text.vocabulary)
        count_missing(learner, text.ids, opened)
        given = learner.ngrams.columns(np.arange(len(text)))
        if columns == "other":
            given = np.zeros_like(given)
        plan = Plan(rates, starts, columns=None if columns is None else given.astype(np.uint8))
        losses.append(opened.train(learner, text.ids, plan).losses.tolist())
    assert losses[0] == losses[1] != losses[2]


def test_an_item_is_predicted_without_its_own_counts():
    text = Corpus.from_text(ITEMS, collection=Collection("lines"))
    config = Config(items="lines", seq_length=4, batch_size=3, ngram_order=3)
    learner, engine = new_learner(config, text.vocabulary), open_engine("reference")
    count_missing(learner, text.ids, engine)
    schedule = Schedule.of_text(config, text.ids)
    tokens, plan = planned_windows(learner, text.ids, schedule, np.full(2, 0.1))
    assert plan.columns.shape == tokens.shape
    assert set(plan.columns.tolist()) <= set(range(1, 9))
    assert learner.ngrams.counted == len(text) + text.items - 1


def test_samples_are_items_one_per_line_and_the_boundary_is_never_written(tmp_path):
    model = charloom.train(string=ITEMS, run=tmp_path / "run", **SETTINGS)
    samples = (tmp_path / "run" / "samples.jsonl").read_text()
    assert "\\n" in samples
    assert "\n" not in model.vocabulary.characters


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "random"}, "order is random, but the text is a collection of items"),
        ({"split": "streams"}, "split is streams, but the text is a collection of items"),
        ({"items": "csv"}, "items is csv; also give field"),
        ({"items": "separator"}, "items is separator; also give separator"),
        ({"separator": "-"}, "separator is '-', but items is lines; separator needs items"),
        ({"field": "a"}, "field is 'a', but items is lines; field needs items"),
        ({"items": "words"}, "items is 'words'; it must be one of stream, lines"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Config(**{"items": "lines", **settings})


def test_a_model_of_items_is_not_trained_on_a_stream_and_starts_from_its_own_kind():
    model = charloom.train(string=ITEMS, **SETTINGS)
    with pytest.raises(ConfigError, match="the model learned items"):
        charloom.train(string=ITEMS, from_model=model, items="stream", updates=3)
    again = charloom.train(string=ITEMS, from_model=model, updates=3)
    assert again.config.items == "lines"
    assert again.vocabulary.boundary == model.vocabulary.boundary


def test_the_number_of_windows_depends_only_on_the_number_of_ids():
    text = Corpus.from_text(ITEMS, collection=Collection("lines"))
    config = Config(**{**SETTINGS, "recipe": "classic"})
    assert Schedule.of(config, len(text)).updates == Schedule.of_text(config, text.ids).updates


def test_a_collection_that_is_shorter_than_a_window_is_read_again_and_again():
    model = charloom.train(string="ann\nbob", **{**SETTINGS, "seq_length": 50, "validation": 0.0})
    assert model.learner.update == 2
