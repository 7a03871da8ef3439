"""The server compares runs with the table that the command `compare` shows."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import charloom


def keys_of(client):
    """Return the keys of the runs by name."""
    return {run["name"]: run["key"] for run in client.get("/api/runs").json()["runs"]}


def test_the_table_is_that_of_python_without_intervals(client, folder):
    keys = keys_of(client)
    names = ("book", "cut short", "more/deep")
    answer = client.get("/api/comparison", params={"run": [keys[name] for name in names]})
    found = charloom.compare(*(folder / name for name in names), intervals=False)
    data = answer.json()
    assert data["heads"] == found.heads
    assert [row["cells"] for row in data["rows"]] == found.rows
    assert [row["run"] for row in data["rows"]] == [keys[name] for name in names]
    assert data["heads"][1 : data["settings"] + 1] == found.settings
    assert data["best"] == []


def test_the_notes_name_settings_as_the_page_does(client):
    keys = keys_of(client)
    notes = client.get("/api/comparison", params={"run": list(keys.values())}).json()["notes"]
    assert any("is not finished" in note for note in notes)
    assert any(
        "has no validation part" in note or "have no validation part" in note for note in notes
    )
    assert not any("--validation" in note or "\ufdd0" in note for note in notes)


def test_one_run_is_a_table_too_and_a_run_counts_once(client):
    key = keys_of(client)["book"]
    data = client.get("/api/comparison", params={"run": [key, key]}).json()
    assert [row["run"] for row in data["rows"]] == [key]


def test_a_damaged_run_is_a_row(client):
    keys = keys_of(client)
    data = client.get("/api/comparison", params={"run": [keys["book"], keys["broken"]]}).json()
    state = data["heads"].index("state")
    assert [row["cells"][state] for row in data["rows"]] == ["finished", "damaged"]


@pytest.mark.parametrize(
    ("runs", "status"), [([], 422), (["nothing"], 404), (["book"] * 17, 422), (["../book"], 422)]
)
def test_wrong_runs_are_refused(client, runs, status):
    assert client.get("/api/comparison", params={"run": runs}).status_code == status
