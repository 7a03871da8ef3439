"""Whatever the package returns can be pickled and copied, and processes can send it to one another."""

import copy
import dataclasses
import inspect
import pickle
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context

import numpy as np
import pytest

import charloom
from charloom.api import Model
from charloom.config import Config
from charloom.engines import Plan, Sampler, open_engine
from charloom.errors import CharloomError, UnknownCharacterError
from charloom.messages import argument
from charloom.model import new_learner
from charloom.store import load_checkpoint, read_run
from charloom.store.run_directory import checkpoint_path
from charloom.text import Corpus, Vocabulary
from charloom.text.id_file import IdFile
from charloom.text.sources import Source
from plants import function
from small_runs import ENGINES, TEXT

WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}

SMALL = {"hidden_size": 8, "seq_length": 10, "batch_size": 1, "updates": 40, "ngram_order": 3}


def same(one, other):
    """Return True if two values are equal in all parts. Engines are compared by their descriptions."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        alike = (one.shape, one.dtype, one.flags.writeable)
        return alike == (other.shape, other.dtype, other.flags.writeable) and (
            one.tobytes() == other.tobytes()  # NaN is equal to NaN
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, BaseException):
        return str(one) == str(other) and same(one.__dict__, other.__dict__)
    if hasattr(one, "describe"):
        return one.describe() == other.describe()
    if hasattr(one, "read"):
        return content(one) == content(other)
    return one == other


def content(file):
    """Return all bytes of an open file."""
    file.seek(0)
    return file.read()


@pytest.fixture(scope="module")
def returned(tmp_path_factory):
    """Return one value of each kind that public functions return or send to listeners, by name."""
    path = tmp_path_factory.mktemp("pickling") / "run"
    messages = []
    model = charloom.train(string=TEXT, run=path, listener=messages.append, validation=0.2, **SMALL)
    return {
        "Model": model,
        "Config": model.config,
        "Vocabulary": model.vocabulary,
        "Learner": model.learner,
        "Corpus": Corpus.from_text(TEXT),
        "Plan": Plan(np.full(2, 0.1), np.zeros(1, np.int64)),
        "Sampler": Sampler(0.5),
        "Evaluation": model.evaluate(string=TEXT),
        "Baselines": model.baselines(),
        "Surprise": model.score("the cat"),
        "Activity": model.activity("the cat"),
        "Neurons": charloom.neurons(model, string=TEXT),
        "GradientCheck": charloom.gradcheck(engine="reference", hidden_size=3, seq_length=4),
        "Diagnosis": charloom.doctor(function("loop", name="loss_and_gradients"), cell="rnn"),
        "RunView": read_run(path),
        "Checkpoint": load_checkpoint(checkpoint_path(path, 40)),
        **{type(item).__name__: item for item in messages},
    }


@pytest.mark.parametrize("way", WAYS)
def test_each_returned_value_can_be_pickled_and_copied(returned, way):
    for name, value in returned.items():
        assert same(WAYS[way](value), value), name


def test_the_comparison_catches_a_changed_copy(returned):
    other = copy.deepcopy(returned["Model"])
    other.parameters["V"][0, 0] += 1
    assert not same(other, returned["Model"])
    assert not same(returned["Config"].replace(seed=5), returned["Config"])


def kinds_of_error(kind=CharloomError):
    """Return every class of errors, also those of the web package."""
    import charloom.web.server  # noqa: F401

    return [kind, *(below for one in kind.__subclasses__() for below in kinds_of_error(one))]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", kinds_of_error(), ids=lambda kind: kind.__name__)
def test_each_error_keeps_its_message_and_attributes(kind, way):
    taken = inspect.signature(kind.__init__).parameters.values()
    named = [one.name for one in taken if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    error = kind(f"take {argument('unknown', 'skip')}.", *named[2:])
    error.add_note("in the second file")
    made = WAYS[way](error)
    assert same(made, error)
    assert made.message == error.message


def test_the_error_for_an_unknown_character_has_the_character():
    with pytest.raises(UnknownCharacterError) as caught:
        Corpus.from_text("cat").vocabulary.encode("cut")
    made = pickle.loads(pickle.dumps(caught.value))
    assert (made.character, made.position) == ("u", 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS)
def test_a_copied_model_samples_and_trains_like_the_original(engine, way):
    model = charloom.train(string=TEXT, engine=engine, averaging=0.0, **SMALL)
    made = WAYS[way](model)
    assert made.sample("the", length=50) == model.sample("the", length=50)
    ids = Corpus.from_text(TEXT).ids
    for one in (copy.deepcopy(model), copy.deepcopy(made)):
        one.learner.position = 0
        one.engine.train(one.learner, ids, Plan(np.full(5, 0.1), np.zeros(1, np.int64)))
    assert made.sample("the", length=50) == model.sample("the", length=50)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_copied_engine_has_as_many_threads(engine):
    made = copy.deepcopy(open_engine(engine, threads=2))
    assert made.describe() == open_engine(engine, threads=2).describe()


def trained(seed: int) -> Model:
    """Train a model in another process, and return it."""
    return charloom.train(string=TEXT, seed=seed, **SMALL)


def written_by(model: Model) -> str:
    """Return a text that the model generates in another process."""
    return model.sample("the", length=30)


@pytest.mark.parametrize("start", get_all_start_methods())
def test_models_go_to_the_processes_of_a_pool_and_come_back(start):
    """Takes more than two seconds, because new processes import the package."""
    with ProcessPoolExecutor(1, mp_context=get_context(start)) as pool:
        model = pool.submit(trained, 3).result(timeout=120)
        assert same(model, trained(3))
        assert pool.submit(written_by, model).result(timeout=120) == written_by(model)


def test_ids_in_a_file_are_copied_into_memory_and_stay_read_only(tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.text.corpus.IN_MEMORY", 100)
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT)
    corpus = Corpus.open([tmp_path / "text.txt"])
    assert isinstance(corpus.ids, IdFile)
    for way in ("pickle", "deepcopy"):
        made = WAYS[way](corpus)
        assert same(made, dataclasses.replace(corpus, ids=made.ids))
        assert np.array_equal(made.ids, corpus.ids[:])
        assert not made.ids.flags.writeable
    assert WAYS["copy"](corpus).ids is corpus.ids


def test_a_source_in_an_open_file_is_copied_into_memory():
    with tempfile.TemporaryFile() as file:
        file.write(b"the cat")
        made = pickle.loads(pickle.dumps(Source("-", "", content=file)))
    with made.opened() as copied:
        assert copied.read() == b"the cat"


def test_a_text_stream_cannot_be_copied_and_the_error_says_so():
    writing = trained(0).stream("the")
    for way in WAYS.values():
        with pytest.raises(TypeError, match="pickle the model"):
            way(writing)


def test_settings_are_equal_after_they_were_pickled():
    assert pickle.loads(pickle.dumps(Config(cell="gru"))) == Config(cell="gru")


@pytest.mark.parametrize("way", WAYS)
def test_a_learner_with_ngrams_is_equal_after_it_was_copied(way):
    config = Config(**{**SMALL, "ngram_order": 4})
    learner = new_learner(config, Vocabulary("abc"))
    segments = np.array([[0, 40]])
    for engine in ENGINES:
        learner.ngrams = open_engine(engine).count_ngrams(
            config, 3, np.tile(np.array([0, 1, 2, 1], np.uint8), 10), segments
        )
        found = WAYS[way](learner)
        assert same(found, learner)
        assert found.ngrams is not None
        assert not found.ngrams.shares.flags.writeable
