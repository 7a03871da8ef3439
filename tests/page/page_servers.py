"""Starts servers with runs, which the tests of the page show and steer."""

import json
from contextlib import contextmanager

import httpx

import small_runs
from waiting import until
from web_servers import LiveServer

TEXT = 30 * small_runs.TEXT
MARKUP = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>"
SLOW = {"recipe": "classic", "settings": {"cell": "lstm", "hidden_size": 100, "epochs": 10_000}}


@contextmanager
def serving_two_runs(folder):
    """Serve a folder with two finished runs. A sample of the second one contains markup."""
    small_runs.train(folder / "cats", validation=0.2)
    small_runs.train(folder / "gates", cell="lstm", hidden_size=12, seed=3)
    samples = folder / "gates" / "samples.jsonl"
    line = json.dumps({"text": MARKUP, "update": 99_999}, separators=(",", ":"))
    samples.write_text(samples.read_text() + line + "\n")
    with LiveServer(folder) as live:
        yield live


class Training:
    """A server with a finished run, and a training run that several tests steer.

    Attributes:
        live: the server.
        key: the key of the training run; None before it is started.
    """

    def __init__(self, folder):
        self.folder = folder
        self.live = LiveServer(folder)
        self.key = None

    def get(self, path):
        """Return the JSON of a response of the server."""
        return httpx.get(f"{self.live.url}{path}", timeout=20).json()

    def send(self, command):
        """Send a command to the training run."""
        sent = {"command": command}
        httpx.post(f"{self.live.url}/api/runs/{self.key}/control", json=sent, timeout=20)

    def state(self):
        """Return the state of the training run, as the server reports it."""
        return self.get(f"/api/runs/{self.key}")["run"]["state"]

    def going(self):
        """Start or continue the training run, wait until it trains, and return its key."""
        if self.key is None:
            with httpx.Client(base_url=self.live.url, timeout=20) as client:
                text = {"name": "cat.txt", "text": TEXT}
                body = {"text": client.post("/api/texts", json=text).json()["key"], **SLOW}
                self.key = client.post("/api/runs", json=body).json()["run"]
        elif self.state() == "paused":
            self.send("run")
        until(lambda: self.state() == "training", 30)
        return self.key

    def pause(self):
        """Pause the training run if there is one, and wait until it is paused. A starting run obeys later."""
        if self.key is not None:
            until(lambda: self.send("pause") or self.state() == "paused", 30)

    def stop(self):
        """Stop the training run, and wait until it has stopped. A starting run obeys later."""
        if self.key is not None:
            until(lambda: self.send("stop") or self.state() in ("stopped", "finished"), 30)
            self.key = None


@contextmanager
def serving_a_training(folder):
    """Serve a folder with a finished run, and a training run that several tests steer."""
    small_runs.train(folder / "cats")
    training = Training(folder)
    training.live.__enter__()  # not in a `with` block: a test closes it and starts another one
    try:
        yield training
    finally:
        training.stop()
        training.live.__exit__()
