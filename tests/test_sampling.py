"""Tests of sampling: a text depends only on the model, prompt, sampler, seed and number."""

import random

import numpy as np
import pytest

from charloom import sampling
from charloom.config import Config
from charloom.engines import Sampler, open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.model import copy_learner, new_learner, zero_state
from charloom.random import uniforms
from charloom.sampling import SampleOptions, Writing
from charloom.text import UnknownPolicy, Vocabulary
from small_runs import ENGINES


@pytest.fixture(scope="module")
def learner():
    """Return a model with distinct probabilities and a non-zero state."""
    return opinionated("abcdefg \n")


def opinionated(characters, **settings):
    """Return a small network with distinct probabilities and a non-zero state, which must not matter."""
    config = Config(hidden_size=6, sigma=0.8, dtype="float64", **settings)
    learner = new_learner(config, Vocabulary(characters, config.tokens))
    learner.state["h"] += 0.5
    return learner


def writing(learner, engine=None, prompt="", number=0, **given):
    """Return the iterator over a text from the zero state. `given` are flat options as for `Model.sample`."""
    given = {"start": "zero", **given}
    drawing = {name: given.pop(name) for name in list(given) if hasattr(Sampler(), name)}
    policy = {name: given.pop(name) for name in list(given) if hasattr(UnknownPolicy(), name)}
    options = SampleOptions(sampler=Sampler(**drawing), policy=UnknownPolicy(**policy), **given)
    return Writing(learner, engine or ReferenceEngine(), prompt, options, number=number)


def write(learner, engine=None, **given):
    """Return the whole text as one string."""
    return "".join(writing(learner, engine, **given))


# The sampled text


def test_a_text_is_sampled_step_by_step_after_the_prompt(learner):
    engine, state = ReferenceEngine(), zero_state(learner.config)
    for character in "bad ":
        logits, state = engine.step(learner, learner.vocabulary.encode(character), state)
    text = ""
    for uniform in uniforms(7, "sample", 50):
        p = np.exp(logits[0] / 0.8) / np.exp(logits[0] / 0.8).sum()
        drawn = learner.vocabulary.characters[int(np.searchsorted(np.cumsum(p), uniform))]
        text += drawn
        logits, state = engine.step(learner, learner.vocabulary.encode(drawn), state)
    assert write(learner, prompt="bad ", length=50, temperature=0.8, seed=7) == text


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "drawing",
    [
        {},
        {"temperature": 0.7, "top_k": 4, "min_p": 0.05},
        {"top_p": 0.8, "repetition_penalty": 1.4},
    ],
)
def test_the_same_seed_gives_the_same_text_on_every_engine(learner, engine, drawing):
    truth = write(learner, prompt="cab", length=300, seed=3, **drawing)
    opened = open_engine(engine)
    assert write(learner, opened, prompt="cab", length=300, seed=3, **drawing) == truth
    assert write(learner, opened, prompt="cab", length=300, seed=4, **drawing) != truth


def test_temperature_zero_selects_the_likeliest_character_with_any_seed(learner):
    assert len({write(learner, temperature=0, seed=seed) for seed in range(5)}) == 1
    assert write(learner, top_k=1, seed=9) == write(learner, temperature=0)


def test_the_texts_of_one_seed_differ_and_the_first_is_the_text_of_the_seed(learner):
    texts = [write(learner, seed=3, number=number) for number in range(4)]
    assert texts[0] == write(learner, seed=3)
    assert len(set(texts)) == 4


# The distribution of what is drawn. 5,000 characters each, of a model whose logits are the same at
# every step, so that every draw is one of a known distribution.

DRAWS = 5_000
LOGITS = np.array([1.0, 0.2, -0.4, 0.9, -2.0, 0.1, -1.0, 0.6])
LIKELIEST = np.argsort(-LOGITS)


def forgetful():
    """Return a model with the same probabilities after any text."""
    learner = opinionated("abcdefgh")
    learner.parameters["V"][...] = 0
    learner.parameters["c"][:] = LOGITS
    return learner


def softmax(logits):
    """Return the probabilities of the logits."""
    return np.exp(logits) / np.exp(logits).sum()


def only(ids):
    """Return the model's distribution if only the given ids can be sampled."""
    left = np.zeros(8)
    left[ids] = softmax(LOGITS)[ids]
    return left / left.sum()


def chi_squared(counts, wanted):
    """Return Pearson's statistic over the limit that it stays below with probability 0.9999."""
    assert not counts[wanted == 0].any(), "what cannot be drawn was drawn"
    counts, wanted = counts[wanted > 0], wanted[wanted > 0] * counts.sum()
    freedom = len(wanted) - 1
    # Wilson and Hilferty 1931; 3.719 is the normal quantile.
    limit = freedom * (1 - 2 / (9 * freedom) + 3.719 * np.sqrt(2 / (9 * freedom))) ** 3
    return ((counts - wanted) ** 2 / wanted).sum() / limit


# What is asked for, the distribution that it stands for, and a sampler that is wrong by a little.
# Probabilities of LOGITS, the likeliest first: 0.26 0.23 0.17 0.12 0.11 0.06 ...
DISTRIBUTIONS = [
    ({}, softmax(LOGITS), {"temperature": 1.25}),
    ({"temperature": 0.5}, softmax(LOGITS / 0.5), {"temperature": 0.6}),
    ({"temperature": 2.0}, softmax(LOGITS / 2.0), {"temperature": 1.5}),
    ({"top_k": 3}, only(LIKELIEST[:3]), {"top_k": 4}),
    ({"top_p": 0.6}, only(LIKELIEST[:3]), {"top_p": 0.7}),
    ({"min_p": 0.3}, only(LIKELIEST[:5]), {"min_p": 0.2}),
    ({"top_k": 5, "top_p": 0.7, "min_p": 0.8}, only(LIKELIEST[:2]), {"top_k": 5, "top_p": 0.7}),
]


def counts_of(engine, **drawing):
    """Return how often each id is sampled."""
    learner = forgetful()
    text = write(learner, open_engine(engine), prompt="a", length=DRAWS, seed=11, **drawing)
    return np.bincount(learner.vocabulary.encode(text), minlength=8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("drawing", "wanted", "wrong"), DISTRIBUTIONS)
def test_draws_follow_the_stated_distribution(engine, drawing, wanted, wrong):
    assert chi_squared(counts_of(engine, **drawing), wanted) < 1


@pytest.mark.parametrize("engine", ENGINES)
def test_at_the_highest_temperature_all_characters_are_equally_likely(engine):
    assert chi_squared(counts_of(engine, temperature=999_999), np.full(8, 1 / 8)) < 1


def worst_after_each(engine, penalty):
    """Return the largest statistic of the characters after each character, with a penalty of 1.5.

    The penalty divides the logit of that character if it is above 0, and multiplies it otherwise.
    """
    learner = forgetful()
    drawing = {"repetition_penalty": penalty, "repetition_window": 1}
    text = write(learner, open_engine(engine), prompt="a", length=DRAWS, seed=11, **drawing)
    ids = learner.vocabulary.encode("a" + text)
    found = []
    for read in range(8):
        logits = LOGITS.copy()
        logits[read] = logits[read] / 1.5 if logits[read] > 0 else logits[read] * 1.5
        counts = np.bincount(ids[1:][ids[:-1] == read], minlength=8)
        found.append(chi_squared(counts, softmax(logits)))
    return max(found)


@pytest.mark.parametrize("engine", ENGINES)
def test_draws_follow_the_stated_distribution_with_a_repetition_penalty(engine):
    assert worst_after_each(engine, 1.5) < 1
    assert worst_after_each(engine, 1.0) > 1  # the check sees a penalty that is left out


@pytest.mark.parametrize(("drawing", "wanted", "wrong"), DISTRIBUTIONS)
def test_a_wrong_distribution_is_caught(drawing, wanted, wrong):
    assert caught(counts_of("reference", **wrong), wanted)


def caught(counts, wanted):
    """Return True if the check fails."""
    try:
        return chi_squared(counts, wanted) > 1
    except AssertionError:
        return True


def test_only_the_last_characters_read_are_penalised():
    """With a penalty that excludes read characters, none is repeated within the window."""
    learner = forgetful()
    learner.parameters["c"] += 3  # all positive, so that the penalty makes them nearly alike
    text = write(learner, prompt="abc", length=500, repetition_penalty=1e5, repetition_window=3)
    text = "abc" + text
    weights = softmax(np.array([0.0, *(LOGITS[3:] + 3)]))
    assert weights[0] < 0.02
    back = sum(text[n] in text[n - 3 : n] for n in range(3, len(text)))
    further = sum(text[n] == text[n - 4] for n in range(4, len(text)))
    assert back < 25 < further
    learner.parameters["c"][:] = [50, 40, 30, 20, 10, 0, 0, 0]
    greedy = write(
        learner, prompt="h", length=8, temperature=0, repetition_penalty=100, repetition_window=3
    )
    assert greedy == "abcdabcd"


# Pieces


def test_the_division_into_pieces_does_not_change_the_text(learner, monkeypatch):
    drawing = {"repetition_penalty": 1.3, "repetition_window": 40}
    pieces = list(writing(learner, length=500, **drawing))
    assert [len(piece) for piece in pieces] == [16, 32, 64, 128, 256, 4]
    monkeypatch.setattr(sampling, "FIRST_PIECE", 1)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", 7)
    again = list(writing(learner, length=500, **drawing))
    assert len(again) > 70
    assert "".join(again) == "".join(pieces)
    short = "".join(writing(learner, length=99, **drawing))
    assert "".join(pieces).startswith(short)


class Spy(ReferenceEngine):
    """An engine that records its calls."""

    def __init__(self):
        self.drawn, self.read = [], []

    def generate(self, learner, read, sampler, uniforms, state):
        self.drawn.append(len(uniforms))
        self.read.append(len(read))
        return super().generate(learner, read, sampler, uniforms, state)


def test_the_first_piece_is_returned_before_the_rest_is_sampled(learner):
    spy = Spy()
    pieces = writing(learner, spy, length=10**9)
    assert spy.drawn == []
    assert len(next(pieces)) == 16
    assert spy.drawn == [16]
    assert pieces.ended is None


@pytest.mark.parametrize(("penalty", "most"), [(1.0, 1), (1.2, 9)])
def test_an_engine_never_gets_more_ids_than_the_repetition_window(learner, penalty, most):
    spy = Spy()
    drawing = {"repetition_penalty": penalty, "repetition_window": 9}
    for _ in writing(learner, spy, prompt="abcdefg" * 9, length=600, **drawing):
        pass
    assert set(spy.read) == {most}


def test_a_long_prompt_read_in_parts_gives_the_same_text(learner, monkeypatch):
    truth = write(learner, prompt="abcdefg" * 5)
    monkeypatch.setattr(sampling, "CHUNK", 4)
    assert write(learner, prompt="abcdefg" * 5) == truth


def test_sampling_does_not_change_the_model(learner):
    before = copy_learner(learner)
    write(learner, prompt="bag", length=40)
    for name in ("parameters", "state"):
        for key, array in getattr(before, name).items():
            assert getattr(learner, name)[key].tobytes() == array.tobytes()
    assert learner.update == before.update


# The end of a text


def ended(learner, **given):
    """Return the text and why it ended."""
    text = writing(learner, **given)
    return "".join(text), text.ended


def test_a_text_ends_before_its_first_stop_string(learner):
    whole = write(learner, length=400)
    stop = whole[200:203]
    assert ended(learner, length=400, stop=[stop]) == (whole[: whole.index(stop)], "stop")
    assert ended(learner, length=400, stop=stop) == (whole[: whole.index(stop)], "stop")
    assert ended(learner, length=400, stop=["never"]) == (whole, "length")
    assert ended(learner, length=400, stop=[whole[:1]]) == ("", "stop")


class Scripted(ReferenceEngine):
    """An engine that samples a given text or given bytes."""

    def __init__(self, text):
        self.text, self.written = text, 0

    def generate(self, learner, read, sampler, uniforms, state):
        self.written += len(uniforms)
        is_bytes = isinstance(self.text, bytes)
        ids = np.array(list(self.text)) if is_bytes else learner.vocabulary.encode(self.text)
        return ids[self.written - len(uniforms) : self.written], state


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
@pytest.mark.parametrize(
    ("text", "stops", "kept"),
    [
        ("abcabdefg", ["abd"], "abc"),
        ("aaaaab", ["aaab"], "aa"),
        ("abcdefg", ["cde", "bcdef"], "ab"),  # the one that is completed first
        ("abcdefg", ["de", "bcde"], "a"),  # of two completed at once, the longest
        ("abcdef", ["fg"], "abcdef"),  # what only began is text after all
        ("gfedcba", ["fe", "ba"], "g"),
    ],
)
def test_stop_strings_are_found_with_any_division_into_pieces(
    learner, monkeypatch, size, text, stops, kept
):
    monkeypatch.setattr(sampling, "FIRST_PIECE", size)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", size)
    pieces = list(writing(learner, Scripted(text), length=len(text), stop=stops))
    assert "".join(pieces) == kept
    assert all(pieces)


def test_only_a_possible_beginning_of_a_stop_string_is_held_back(learner, monkeypatch):
    monkeypatch.setattr(sampling, "FIRST_PIECE", 1)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", 1)
    pieces = list(writing(learner, Scripted("ababcg"), length=6, stop=["abd", "bcf"]))
    assert pieces == ["ab", "a", "bcg"]


# Bytes


def test_a_byte_model_returns_complete_characters(monkeypatch):
    text = "aé€😀a"
    learner = opinionated(map(chr, range(256)), tokens="bytes")
    monkeypatch.setattr(sampling, "FIRST_PIECE", 1)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", 1)

    def written(length, **given):
        return list(writing(learner, Scripted(text), length=length, **given))

    assert written(11) == ["a", "é", "€", "😀", "a"]
    assert written(9) == ["a", "é", "€"]  # a character that is cut in two is left out
    assert written(11, stop=["€"]) == ["a", "é"]
    broken = opinionated(["a", "\xc3", "\x80"], tokens="bytes")
    broken.parameters["V"][...] = 0
    broken.parameters["c"][:] = [0, 0, -50]
    assert set("".join(writing(broken, length=50))) == {"a", "\ufffd"}


@pytest.mark.parametrize("stops", [[], ["a\ufffd", "\ufffda\ufffd"], ["€"]])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_each_piece_has_the_ids_of_its_text(monkeypatch, size, stops):
    learner = opinionated(map(chr, range(256)), tokens="bytes")
    monkeypatch.setattr(sampling, "FIRST_PIECE", size)
    monkeypatch.setattr(sampling, "LARGEST_PIECE", size)
    chance = random.Random(size)
    for _ in range(50):
        drawn = bytes(chance.choices(b"a\xc3\xe2\x82\xac\xf0\x9f\xed\xff", k=40))
        text = writing(learner, Scripted(drawn), length=40, stop=stops)
        pieces = list(iter(text.step, None))
        for piece in pieces:
            assert learner.vocabulary.decode(piece.ids) == piece.text
        data = b"".join(piece.ids.astype(np.uint8).tobytes() for piece in pieces)
        assert drawn.startswith(data)
        assert "".join(piece.text for piece in pieces) == data.decode("utf-8", "replace")


# The first input


@pytest.mark.parametrize(("characters", "prompt"), [("ab\n ", "\n"), ("ab ", " ")])
def test_without_a_prompt_the_model_first_reads_a_newline_or_a_space(characters, prompt):
    learner = opinionated(characters)
    assert write(learner) == write(learner, prompt=prompt)


def test_without_newline_and_space_the_model_first_reads_the_likeliest_character():
    learner = opinionated("\x01abc")
    learner.parameters["c"][:] = [-9, 0, 2, 2]
    assert write(learner) == write(learner, prompt="b")
    assert write(learner) != write(learner, prompt="\x01")


def test_the_error_for_a_prompt_names_the_unknown_character(learner):
    with pytest.raises(UnknownCharacterError, match=r"'D'.*closest one in the vocabulary is 'd'"):
        Writing(learner, ReferenceEngine(), prompt="baDe")


def test_unknown_characters_of_a_prompt_are_skipped_or_replaced_on_request(learner):
    skipping = writing(learner, prompt="baDe", unknown="skip")
    assert skipping.unknowns.total == 1
    assert "".join(skipping) == write(learner, prompt="bae")
    assert write(learner, prompt="baDe", unknown="replace", replacement="c") == write(
        learner, prompt="bace"
    )
    assert write(learner, prompt="XYZ", unknown="skip") == write(learner)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 0),
        ("length", -1),
        ("length", 1.5),
        ("seed", -1),
        ("seed", 2**64),
        ("number", -1),
        ("stop", [""]),
        ("stop", ["a", 3]),
        ("unknown", "guess"),
    ],
)
def test_arguments_out_of_range_are_refused_before_sampling(learner, name, value):
    with pytest.raises(ConfigError, match=name):
        writing(learner, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("temperature", 1.1e6),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_p", 0),
        ("top_p", 1.1),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0),
        ("repetition_penalty", 1e6),
        ("repetition_penalty", float("nan")),
        ("repetition_window", 0),
    ],
)
def test_a_sampler_out_of_range_is_refused_before_sampling(learner, name, value):
    with pytest.raises(ConfigError, match=name):
        writing(learner, **{name: value})


# Items, and the probability of what was written


@pytest.fixture(scope="module")
def names():
    """Return a model of items, which ends about every third item after each character."""
    config = Config(hidden_size=6, sigma=0.3, dtype="float64")
    learner = new_learner(config, Vocabulary("abc", items=True))
    learner.parameters["c"][:] = [0.0, 0.0, 0.0, 0.6]
    return learner


@pytest.mark.parametrize("engine", ENGINES)
def test_a_text_of_a_collection_ends_where_the_model_ends_the_item(names, engine):
    ended = set()
    for number in range(30):
        text = writing(names, open_engine(engine), number=number, length=5)
        written = "".join(text)
        ended.add(text.ended)
        assert len(written) == 5 if text.ended == "length" else len(written) < 5
        assert set(written) <= set("abc")
    assert ended == {"item", "length"}


def test_an_item_is_the_beginning_of_what_the_engine_draws_after_the_boundary(names):
    engine = ReferenceEngine()
    read, state = np.array([names.vocabulary.boundary]), zero_state(names.config)
    drawn, _ = engine.generate(names, read, Sampler(), uniforms(0, "sample", 16, stream=3), state)
    expected = drawn[: drawn.tolist().index(names.vocabulary.boundary)]
    assert write(names, number=3, length=16) == names.vocabulary.decode(expected)


def test_the_prompt_of_an_item_is_read_after_the_boundary(names):
    pieces = writing(names, prompt="ab", length=1, start="text")
    text = "".join(pieces)
    engine, state = ReferenceEngine(), zero_state(names.config)
    for symbol in (names.vocabulary.boundary, 0, 1):
        logits, state = engine.step(names, np.array([symbol]), state)
    p = np.exp(logits[0]) / np.exp(logits[0]).sum()
    if text:
        ids = names.vocabulary.encode(text)
        assert pieces.nats_of(ids) == pytest.approx(-np.log(p[ids[0]]), rel=1e-12)
    else:
        assert pieces.nats_of(names.vocabulary.encode("")) == pytest.approx(
            -np.log(p[3]), rel=1e-12
        )


@pytest.mark.parametrize("stop", ["", "ab"])
def test_the_nats_of_a_text_are_the_losses_of_its_characters(learner, stop):
    text = writing(learner, prompt="abc", length=40, temperature=0.5, stop=[stop] if stop else [])
    pieces = list(iter(text.step, None))
    ids = np.concatenate([piece.ids for piece in pieces])
    read = np.concatenate([learner.vocabulary.encode("abc"), ids])
    losses, _ = ReferenceEngine().score(learner, read[:, np.newaxis], zero_state(learner.config))
    assert text.nats_of(ids) == pytest.approx(losses[2:].sum(), rel=1e-12)
    assert len(ids) == len("".join(piece.text for piece in pieces))
