"""The server writes texts with a hidden unit held at a value, as `Model.clamp` holds it."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import charloom
from playground_requests import complete_events

HELD = {"layer": 0, "unit": 3, "value": 1}
COMMON = {"prompt": "the ", "length": 80, "seed": 2}


def texts_of(events):
    """Return the joined texts of a response, by the side, row and column of each."""
    texts = {}
    for name, data in events:
        if name == "text":
            place = tuple(data.get(label) for label in ("side", "row", "column"))
            texts[place] = texts.get(place, "") + data["text"]
    return texts


def test_the_text_is_that_of_the_model_with_the_unit_held(client, folder):
    model = charloom.load(folder / "book")
    expected = model.clamp(0, 3, 1).sample("the ", 80, seed=2)
    assert expected != model.sample("the ", 80, seed=2)
    events = complete_events(
        client.post("/api/generate", json={"model": "book", "hold": HELD, **COMMON})
    )
    assert texts_of(events) == {(None, None, None): expected}
    assert events[0][1]["held"] == "Unit 3 of layer 0 is held at 1."


def test_the_next_request_without_a_held_unit_writes_with_the_whole_model(client, folder):
    for hold in (HELD, None):
        body = {"model": "book", "hold": hold, **COMMON}
        events = complete_events(client.post("/api/generate", json=body))
    (text,) = texts_of(events).values()
    assert text == charloom.load(folder / "book").sample("the ", 80, seed=2)
    assert events[0][1]["held"] == ""


def test_the_probabilities_are_those_of_the_model_with_the_unit_held(client, folder):
    body = {"model": "book", "hold": HELD, "probabilities": True, **COMMON}
    events = complete_events(client.post("/api/generate", json=body))
    nats = [n for name, data in events if name == "text" for n in data["analysis"]["nats"]]
    model = charloom.load(folder / "book")
    whole = client.post("/api/generate", json={"model": "book", "probabilities": True, **COMMON})
    others = [
        n
        for name, data in complete_events(whole)
        if name == "text"
        for n in data["analysis"]["nats"]
    ]
    assert nats != others
    held = model.clamp(0, 3, 1)
    (text,) = texts_of(events).values()
    score = held.score("the " + text).nats
    # The page's text begins in another state, so only the later predictions agree.
    assert abs(score[-20:] - nats[-20:]).max() < abs(score[-20:] - others[-20:]).max()


def test_a_unit_is_held_in_compared_models_and_in_tables(client, folder):
    compared = client.post(
        "/api/compare", json={"models": ["book", "bytes"], "hold": HELD, **COMMON}
    )
    texts = texts_of(complete_events(compared))
    assert [texts[side, None, None] for side in (0, 1)] == [
        charloom.load(folder / name).clamp(0, 3, 1).sample("the ", 80, seed=2)
        for name in ("book", "bytes")
    ]
    table = client.post(
        "/api/grid",
        json={"model": "book", "temperatures": [0.5, 1], "top_ps": [1], "hold": HELD, **COMMON},
    )
    held = charloom.load(folder / "book").clamp(0, 3, 1)
    expected = held.sample_grid("the ", 80, [0.5, 1], [1], seed=2).texts
    assert texts_of(complete_events(table)) == {
        (None, row, 0): expected[row][0] for row in range(2)
    }


@pytest.mark.parametrize(
    ("hold", "words"),
    [
        ({"unit": 60_000}, "60,?000"),
        ({"layer": 9, "unit": 0}, "9"),
        ({"unit": 0, "value": 1.5}, "at most 1"),
        ({"value": 0.5}, "unit"),
        ({"unit": 0, "gate": "i"}, "gate"),
    ],
)
def test_a_unit_that_does_not_exist_is_refused(client, hold, words):
    import re

    answer = client.post("/api/generate", json={"model": "book", "hold": hold})
    assert answer.status_code in (400, 422)
    assert re.search(words, answer.json()["error"]["message"])
