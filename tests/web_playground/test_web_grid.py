"""The server lets a model write a table of texts by temperature and top-p."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from playground_requests import complete_events


def texts_of(events):
    """Return the text of each place of the table, by row and column."""
    texts = {}
    for name, data in events:
        if name == "text":
            place = data["row"], data["column"]
            texts[place] = texts.get(place, "") + data["text"]
    return texts


def test_each_text_is_that_of_a_request_with_its_temperature_and_top_p(client):
    common = {"model": "book", "prompt": "the ", "seed": 5, "length": 60, "top_k": 9}
    values = {"temperatures": [0.5, 2], "top_ps": [0.6, 1]}
    events = complete_events(client.post("/api/grid", json={**common, **values}))
    texts = texts_of(events)
    for row, temperature in enumerate(values["temperatures"]):
        for column, top_p in enumerate(values["top_ps"]):
            one = {**common, "temperature": temperature, "top_p": top_p}
            alone = complete_events(client.post("/api/generate", json=one))
            assert texts[row, column] == "".join(d["text"] for n, d in alone if n == "text")
    assert len(set(texts.values())) > 1
    for kind in ("begin", "end"):
        places = {(data["row"], data["column"]) for name, data in events if name == kind}
        assert places == set(texts)


def test_the_defaults_are_those_of_the_command(client):
    from charloom.config import GRID_TEMPERATURES, GRID_TOP_PS

    events = complete_events(client.post("/api/grid", json={"model": "book", "length": 5}))
    assert len(texts_of(events)) == len(GRID_TEMPERATURES) * len(GRID_TOP_PS)


def test_the_texts_come_side_by_side(client):
    body = {"model": "book", "temperatures": [0.5, 1], "top_ps": [1]}
    events = complete_events(client.post("/api/grid", json=body))
    assert [data["row"] for name, data in events if name == "text"][:2] == [0, 1]


def test_the_texts_come_with_their_probabilities_if_wanted(client):
    body = {"model": "book", "temperatures": [1], "top_ps": [1], "probabilities": True}
    events = complete_events(client.post("/api/grid", json=body))
    assert all(data["analysis"]["nats"] for name, data in events if name == "text")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"temperatures": []}, "temperatures"),
        ({"temperatures": [0.5] * 7}, "temperatures"),
        ({"temperatures": [-1]}, "temperatures"),
        ({"top_ps": [0]}, "top_ps"),
        ({"top_ps": [2]}, "top_ps"),
        ({"temperature": 0.5}, "temperature"),
        ({"samples": 2}, "samples"),
    ],
)
def test_wrong_values_are_refused_by_name(client, change, field):
    answer = client.post("/api/grid", json={"model": "book", **change})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"].startswith(field)


def test_an_unknown_model_and_an_unknown_character_have_ordinary_errors(client):
    assert client.post("/api/grid", json={"model": "nothing"}).status_code == 404
    answer = client.post("/api/grid", json={"model": "book", "prompt": "€"})
    assert answer.json()["error"]["code"] == "unknown_characters"
