"""Servers whose runs the tests of the page look at and steer."""

import json
from contextlib import contextmanager

import httpx

import small_runs
from waiting import until
from web import Live

TEXT = 30 * small_runs.TEXT
MARKUP = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
SLOW = {"recipe": "classic", "settings": {"cell": "lstm", "hidden_size": 100, "epochs": 10_000}}


@contextmanager
def serving_two_runs(folder):
    """Serve a folder with two finished runs, one of which wrote markup."""
    small_runs.train(folder / "cats", validation=0.2)
    small_runs.train(folder / "gates", cell="lstm", hidden_size=12, seed=3)
    samples = folder / "gates" / "samples.jsonl"
    line = json.dumps({"text": MARKUP, "update": 99_999}, separators=(",", ":"))
    samples.write_text(samples.read_text() + line + "\n")
    with Live(folder) as live:
        yield live


class Training:
    """A server of a folder with a finished run, and one training there that several tests steer.

    Attributes:
        live: the server.
        key: the run of the training; None until there is one.
    """

    def __init__(self, folder):
        self.folder = folder
        self.live = Live(folder)
        self.key = None

    def get(self, path):
        """An answer of the server."""
        return httpx.get(f"{self.live.url}{path}", timeout=20).json()

    def send(self, command):
        """Steer it."""
        sent = {"command": command}
        httpx.post(f"{self.live.url}/api/runs/{self.key}/control", json=sent, timeout=20)

    def state(self):
        """The state of it, as the server knows it."""
        return self.get(f"/api/runs/{self.key}")["run"]["state"]

    def going(self):
        """The key of it, once it trains; it goes on until it is stopped."""
        if self.key is None:
            with httpx.Client(base_url=self.live.url, timeout=20) as client:
                text = {"name": "cat.txt", "text": TEXT}
                asked = {"text": client.post("/api/texts", json=text).json()["key"], **SLOW}
                self.key = client.post("/api/runs", json=asked).json()["run"]
        until(lambda: self.state() == "training", 30)
        return self.key

    def stop(self):
        """Stop it, and wait until it is; one that starts hears of it when it can."""
        if self.key is not None:
            until(lambda: self.send("stop") or self.state() in ("stopped", "finished"), 30)
            self.key = None


@contextmanager
def serving_a_training(folder):
    """Serve a folder with a finished run, and a training run that several tests steer."""
    small_runs.train(folder / "cats")
    training = Training(folder)
    training.live.__enter__()  # not with: a test closes it and opens another one
    try:
        yield training
    finally:
        training.stop()
        training.live.__exit__()
