"""`classify` names the model that predicts a text best, and its figures follow from the models' own losses."""

import math

import numpy as np
import pytest

import charloom
from charloom.errors import ConfigError, TextError

ENGLISH = "the house and the garden\nwhere the others were\n" * 60
OTHER = "huset och trädgården\ndär de andra var på ön\n" * 60


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages")
    for name, text in (("english", ENGLISH), ("other", OTHER)):
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        charloom.train(
            folder / f"{name}.txt", run=folder / name, recipe="classic", hidden_size=12, updates=300
        )
    return [folder / "english", folder / "other"]


def test_each_model_is_named_for_its_own_language(models):
    found = charloom.classify(models, ["where the garden", "där trädgården"])
    assert [each.best for each in found.texts] == [str(model) for model in models]
    assert all(each.lead_bits > 10 for each in found.texts)


def test_the_bits_are_those_that_score_gives_after_a_line_feed(models):
    (found,) = charloom.classify(models, "the house").texts
    for path, bits in zip(models, found.bits, strict=True):
        scored = charloom.load(path).score("\nthe house")
        np.testing.assert_allclose(bits, scored.bits[1:], rtol=1e-12)


def test_the_lead_is_the_sum_of_the_contributions_and_gives_the_probability(models):
    (found,) = charloom.classify(models, "the house and there").texts
    assert found.contributions.sum() == pytest.approx(found.lead_bits, rel=1e-12)
    odds = found.probabilities.max() / found.probabilities.min()
    assert math.log2(odds) == pytest.approx(found.lead_bits, rel=1e-9)


def test_a_character_that_one_model_lacks_is_counted_and_costs_the_given_bits(models):
    text = "på ön"  # the first model knows neither å nor ö, nor p
    (found,) = charloom.classify(models, text, unknown_bits=7.5).texts
    lacking = [n for n, character in enumerate(text) if character not in set(ENGLISH)]
    assert found.unknown == (len(lacking), 0)
    assert found.bits[0, lacking].tolist() == [7.5] * len(lacking)
    known = "".join(character for n, character in enumerate(text) if n not in lacking)
    scored = charloom.load(models[0]).score("\n" + known).bits[1:]
    np.testing.assert_allclose(np.delete(found.bits[0], lacking), scored, rtol=1e-12)


def test_a_character_that_no_model_knows_is_not_counted(models):
    (found,) = charloom.classify(models, "the 漢 house").texts
    (without,) = charloom.classify(models, "the  house").texts
    assert found.counted == without.counted == 10
    assert np.isnan(found.bits[:, 4]).all()
    assert found.total_bits == pytest.approx(without.total_bits, rel=1e-12)


def test_a_first_character_that_a_model_cannot_predict_is_not_counted(models, tmp_path):
    (tmp_path / "one-line.txt").write_text("the others were there " * 60, encoding="utf-8")
    charloom.train(
        tmp_path / "one-line.txt", run=tmp_path / "one-line", recipe="classic", hidden_size=4, updates=10
    )  # fmt: skip
    (found,) = charloom.classify([models[0], tmp_path / "one-line"], "there").texts
    assert np.isnan(found.bits[:, 0]).all()
    assert found.counted == 4


def test_a_model_of_bytes_is_compared_with_a_model_of_characters(models, tmp_path):
    (tmp_path / "text.txt").write_text(OTHER, encoding="utf-8")
    charloom.train(
        tmp_path / "text.txt", run=tmp_path / "bytes", recipe="classic", hidden_size=12, updates=300, tokens="bytes"
    )  # fmt: skip
    text = "där på ön"
    (found,) = charloom.classify([models[0], tmp_path / "bytes"], text).texts
    scored = charloom.load(tmp_path / "bytes").score("\n" + text).bits[1:]
    np.testing.assert_allclose(found.bits[1], scored, rtol=1e-12)
    assert found.best == str(tmp_path / "bytes")


def test_what_cannot_be_classified_is_refused(models):
    with pytest.raises(ConfigError, match="needs at least two models to choose from; it has 1"):
        charloom.classify(models[0], "the")
    with pytest.raises(ConfigError, match="is given twice"):
        charloom.classify([models[0], models[0]], "the")
    with pytest.raises(ConfigError, match="no text to classify"):
        charloom.classify(models, [])
    with pytest.raises(TextError, match="text 2 has no character that is counted: no model knows"):
        charloom.classify(models, ["the", "漢字"])
    with pytest.raises(TextError, match="the text has no character that is counted: it is empty"):
        charloom.classify(models, "")
    with pytest.raises(ConfigError, match="unknown_bits is -1"):
        charloom.classify(models, "the", unknown_bits=-1)


def test_models_of_items_predict_the_first_character_and_the_end():
    models = [
        charloom.train(string="\n".join(words * 8), items="lines", recipe="classic", hidden_size=8, updates=200)
        for words in (["ada", "bea", "eva"], ["bob", "dab", "abe"])
    ]  # fmt: skip
    (found,) = charloom.classify(models, "ada").texts
    for m, model in enumerate(models):
        scored = model.score("ada")
        np.testing.assert_allclose(found.bits[m], scored.bits, rtol=1e-6)
        assert found.end_bits[m] == pytest.approx(scored.end_nats / math.log(2), rel=1e-6)
        assert found.total_bits[m] == pytest.approx(scored.total_nats / math.log(2), rel=1e-6)
    assert found.best == "model 1"
