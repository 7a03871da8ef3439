"""A run finds its text again, and refuses a missing or changed one."""

import pytest

from charloom.errors import DamagedError, TextError
from charloom.store import read_run
from charloom.text import Corpus
from file_contents import tree
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from run_files import names, open_file, reopened
from small_runs import TEXT, after, resume, train


def test_a_text_is_read_again_from_its_file(tmp_path):
    train(tmp_path / "whole")
    text = tmp_path / "cat.txt"
    train(tmp_path / "run", open_file(text), halt=after(8))
    assert "text.txt" not in names(tmp_path / "run")
    resume(tmp_path / "run")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_missing_or_changed_text_is_refused_without_changes(tmp_path):
    run, text = tmp_path / "run", tmp_path / "cat.txt"
    train(run, open_file(text), halt=after(8))
    before = tree(run)
    for change in (TEXT + "!", TEXT.replace("cat", "dog", 1), "Ω" * 900):
        text.write_text(change, encoding="utf-8")
        with pytest.raises(TextError, match="not the text that"):
            reopen(run)
    text.rename(tmp_path / "elsewhere.txt")
    with pytest.raises(TextError, match=r"cat\.txt: no such file.*give its new path as text"):
        reopen(run)
    assert tree(run) == before


def test_the_new_path_of_a_moved_text_is_used_and_remembered(tmp_path):
    run, text, moved = tmp_path / "run", tmp_path / "cat.txt", tmp_path / "moved.txt"
    train(run, open_file(text), halt=after(8))
    text.rename(moved)
    resume(run, text=[moved], halt=after(3))
    resume(run)
    assert read_run(run).text.sources == (str(moved),)
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")


@pytest.mark.parametrize("extra", ["\ufeff", "\ud800", "\0", "\r\n", "\U0001f600", "\u2028"])
def test_a_text_without_a_file_is_kept_exactly_in_the_run(tmp_path, extra):
    corpus = Corpus.from_text(extra + TEXT + extra)
    train(tmp_path / "run", corpus, halt=after(8))
    resume(tmp_path / "run")
    train(tmp_path / "whole", corpus)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    assert len(read_run(tmp_path / "run").passage) == 50


def test_a_vocabulary_with_more_characters_than_the_text_is_kept(tmp_path):
    wide = Corpus.from_text(TEXT + "xyz").vocabulary
    corpus = Corpus.from_text(TEXT, vocabulary=wide)
    train(tmp_path / "run", corpus, halt=after(8))
    _, learner, again = reopened(tmp_path / "run")
    assert learner.vocabulary == again.vocabulary == wide
    assert again.ids.tolist() == corpus.ids.tolist()


def test_a_missing_or_changed_kept_text_is_found(halted):
    data = (halted / "text.txt").read_bytes()
    (halted / "text.txt").write_bytes(data[:-1])
    with pytest.raises(TextError, match="not the text that"):
        reopen(halted)
    (halted / "text.txt").write_bytes(b"\xff")
    with pytest.raises(DamagedError, match=r"text\.txt"):
        reopen(halted)
    (halted / "text.txt").unlink()
    with pytest.raises(DamagedError, match=r"text\.txt"):
        reopen(halted)
