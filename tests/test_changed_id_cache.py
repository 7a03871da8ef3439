"""Another program changes cached ids while a model is trained or evaluated on them.

Charloom learns nothing from changed ids. The process survives, and the status says that the run failed.
Resuming it gives the same bits as a run that was not disturbed.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import charloom
from charloom.engines import Plan
from charloom.errors import TextError
from charloom.model import new_learner
from charloom.store import read_run
from charloom.text import Corpus, Vocabulary, corpus, id_cache
from charloom.text.all_ids import side_by_side
from charloom.text.id_file import HEADER
from charloom.training import Progress
from charloom.training.window_plan import ids_in_memory
from small_runs import ENGINES, TEXT, small_config

SETTINGS = {"cell": "lstm", "validation": 0.2, "judge_every": 20, "save_seconds": 1.0}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Return a file that counts as large, with an empty cache."""
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    path = tmp_path / "book.txt"
    path.write_text(TEXT * 3)
    return path


def cached(folder: Path) -> Path:
    """Return the only file of ids in the cache."""
    (path,) = (folder / "cache" / "ids").iterdir()
    return path


def overwrite(path: Path) -> None:
    """Write other valid ids into the file."""
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(bytes(path.stat().st_size - HEADER))


def cut_off(path: Path) -> None:
    """Truncate the file of cached ids after its header."""
    os.truncate(path, HEADER)


def overwrite_keeping_the_time(path: Path) -> None:
    """Write other ids into the file, and keep its modification time."""
    before = path.stat()
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def put_another_file_there(path: Path) -> None:
    """Replace the file by another one with other ids."""
    other = path.with_name("other")
    shutil.copy(path, other)
    overwrite(other)
    other.replace(path)


HARMFUL = [overwrite, cut_off, overwrite_keeping_the_time]
HARMLESS = [put_another_file_there, Path.unlink, os.utime]


def settings(engine, **changes):
    """Return the settings of the runs."""
    return small_config(engine=engine, **SETTINGS, **changes).to_dict()


def train(path, book, engine, disturb=lambda path: None, **changes):
    """Train a run, and call `disturb` with the file of cached ids after ten updates."""
    disturbed = False

    def listener(item):
        nonlocal disturbed
        if not disturbed and isinstance(item, Progress) and item.update >= 10:
            disturbed = True
            disturb(cached(book.parent))

    charloom.train(book, run=path, listener=listener, **settings(engine, **changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Train a run with each engine, whose text is in memory; return the runs' paths by engine."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "book.txt").write_text(TEXT * 3)
    runs = {engine: folder / engine for engine in ENGINES}
    for engine, path in runs.items():
        charloom.train(folder / "book.txt", run=path, **settings(engine))
    return runs


def require_same(one: Path, other: Path) -> None:
    """Assert that two runs ended with the same bits."""
    first, second = charloom.load(one).learner, charloom.load(other).learner
    assert (first.update, first.best_loss) == (second.update, second.best_loss)
    for name, array in first.parameters.items():
        np.testing.assert_array_equal(second.parameters[name], array)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("disturb", HARMFUL)
def test_after_training_fails_resuming_computes_the_ids_again(
    disturb, engine, book, whole, tmp_path
):
    with pytest.raises(TextError, match=r"\.ids.*another program changed it"):
        train(tmp_path / "run", book, engine, disturb)
    status = read_run(tmp_path / "run").status
    assert status.state == "failed"
    assert "another program changed it" in str(status)
    charloom.resume(tmp_path / "run")
    require_same(whole[engine], tmp_path / "run")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("disturb", HARMLESS)
def test_a_replaced_deleted_or_touched_file_does_not_change_the_result(
    disturb, engine, book, whole, tmp_path
):
    train(tmp_path / "run", book, engine, disturb)
    require_same(whole[engine], tmp_path / "run")


@pytest.mark.parametrize("disturb", HARMFUL)
def test_training_without_a_run_fails_with_the_same_error(disturb, book):
    with pytest.raises(TextError, match="another program changed it"):
        train(None, book, "reference", disturb)


@pytest.mark.parametrize("disturb", HARMFUL)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_that_changes_during_evaluation_is_reported(disturb, engine, book, tmp_path):
    train(tmp_path / "run", book, engine, epochs=1)
    model = charloom.load(tmp_path / "run", engine=engine)
    honest = model.engine.score

    def score(*arguments):
        disturb(cached(book.parent))
        return honest(*arguments)

    model.engine.score = score
    with pytest.raises(TextError, match="another program changed it"):
        model.evaluate(book, split="all", streams=4)


@pytest.mark.parametrize("disturb", HARMFUL)
@pytest.mark.parametrize("work", ["evaluate", "baselines", "neurons"])
def test_ids_that_changed_before_resuming_are_computed_again(disturb, work, book, tmp_path):
    train(tmp_path / "run", book, "reference", epochs=1)
    model = charloom.load(tmp_path / "run")
    do = {
        "evaluate": lambda: model.evaluate(),
        "baselines": lambda: model.baselines(),
        "neurons": lambda: charloom.neurons(model, properties=["space"]),
    }[work]
    right = do()
    disturb(cached(tmp_path))
    assert do() == right


def test_ids_in_a_file_are_read_in_every_way_like_an_array(book):
    ids = Corpus.open([book]).ids
    array = np.asarray(ids)
    assert array.dtype == ids.dtype
    for place in (slice(None), slice(3, 9), slice(5, 5), slice(-4, None), slice(9, 10**9)):
        np.testing.assert_array_equal(ids[place], array[place])
    starts, ends = np.array([0, 7, 20, 5]), np.array([100, 9, 22, 6])
    for count in (1, 2, 30):
        np.testing.assert_array_equal(
            side_by_side(ids, starts, ends, count), side_by_side(array, starts, ends, count)
        )
    with pytest.raises(ValueError, match="only be read with step 1"):
        ids[::2]


def test_a_plan_reads_the_same_ids_from_a_file(book):
    text = Corpus.open([book])
    config = small_config(batch_size=3)
    learner = new_learner(config, text.vocabulary)
    learner.position = 20
    plan = Plan(np.full(4, 0.1), np.array([0, 100, 200]))
    read, planned = ids_in_memory(text.ids, plan, learner)
    count = 4 * config.seq_length + 1
    for start, place in zip(plan.starts, planned.starts, strict=True):
        np.testing.assert_array_equal(
            read[place + learner.position :][:count], text.ids[start + learner.position :][:count]
        )


def test_ids_of_a_text_that_changed_while_read_are_never_cached(book, tmp_path, monkeypatch):
    before = book.read_bytes()
    honest = Vocabulary.encoding_plan

    def encoding_plan(*arguments):  # between the two readings
        book.write_bytes(before.replace(b"red", b"wet"))
        return honest(*arguments)

    monkeypatch.setattr(Vocabulary, "encoding_plan", encoding_plan)
    with pytest.raises(TextError, match="changed while it was read"):
        Corpus.open([book])
    monkeypatch.undo()
    monkeypatch.setattr(corpus, "IN_MEMORY", 10)
    monkeypatch.setenv(id_cache.VARIABLE, str(tmp_path / "cache"))
    book.write_bytes(before)
    text = Corpus.open([book])
    assert text.vocabulary.decode(text.ids[:]).encode() == before


def test_a_text_that_changed_with_an_equal_stamp_is_refused_once_and_then_read(book):
    os.utime(book, ns=(10**18, 10**18))
    before = Corpus.open([book])
    book.write_bytes(book.read_bytes().replace(b"red", b"wet"))
    os.utime(book, ns=(10**18, 10**18))
    vocabulary = Vocabulary([*before.vocabulary.characters, "X"])
    with pytest.raises(TextError, match="changed while it was read"):
        Corpus.open([book], vocabulary)
    text = Corpus.open([book], vocabulary)
    assert text.vocabulary.decode(text.ids[:]) == book.read_text()
