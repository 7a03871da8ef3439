"""The card of a model in a notebook suggests calls that work with this model."""

import charloom
import small_runs
from charloom.api.notebook_model import own_beginning
from charloom.text import Corpus, Vocabulary

RUSSIAN = 60 * "Все счастливые семьи похожи друг на друга. "


def suggested(model):
    """Return the suggested prompt of a model."""
    card = model._repr_html_()
    return card.partition("model.sample(&quot;")[2].partition("&quot;")[0]


def test_a_model_is_asked_to_continue_a_word_of_its_own_text():
    model = charloom.train(string=RUSSIAN, recipe="classic", updates=20, hidden_size=4)
    assert suggested(model) == "Все "
    assert len(model.sample(suggested(model), length=5)) == 5


def test_a_run_gives_a_word_of_the_passage_that_it_wrote(tmp_path):
    small_runs.train(tmp_path / "run")
    (tmp_path / "run" / "passage.txt").write_text("x zzz the cat", encoding="utf-8")
    model = charloom.load(tmp_path / "run")
    word = suggested(model)
    assert word in ("zzz ", "the ")
    model.vocabulary.encode(word)
    (tmp_path / "run" / "passage.txt").unlink()
    model.vocabulary.encode(suggested(model))


def test_no_beginning_is_suggested_if_the_vocabulary_has_none():
    digits = Vocabulary.from_text("0123456789")
    assert own_beginning(digits, None, None) == ""
    assert own_beginning(Vocabulary.from_text("The and"), None, None) == "The "
    corpus = Corpus.from_text("123 234 345", "numbers")
    assert own_beginning(corpus.vocabulary, corpus, None) == ""
