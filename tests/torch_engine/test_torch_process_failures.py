"""A mistake or a failure of one of several processes is noticed.

The tests start processes, each of which imports PyTorch, so they take some seconds.
"""

import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from compared_engines import TORCH as INSTALLED

if not INSTALLED:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

import torch.distributed as dist

from charloom.engines import Plan, open_engine
from charloom.engines.torch import divided_network, rank_watch, training_processes
from charloom.engines.torch.process_group import FAILURE, LOOPBACK
from charloom.engines.torch.rank_watch import SILENT_SECONDS, Heartbeats
from charloom.engines.torch.torch_network import TorchNetwork
from charloom.engines.torch.training_processes import leading_new, loopback_store
from charloom.errors import EngineError
from divided_networks import CLOSEST, IDS, apart, learner_of, starts
from waiting import until


def test_a_process_that_reads_the_streams_of_another_one_is_noticed(monkeypatch):
    right = divided_network.part_of
    with leading_new(2, lambda message: None):
        engine = open_engine("torch", 1, "cpu")
        assert apart("plain", engine) < CLOSEST
        monkeypatch.setattr(
            divided_network,
            "part_of",
            lambda windows, plan, streams: right(
                windows, plan, slice(0, streams.stop - streams.start)
            ),
        )
        assert apart("plain", engine) > 1e-3


def train_after_nonsense(engine, learner):
    """Send a message about a network that does not exist, and train."""
    engine._group.send(1, divided_network.LoadPart(99, {}))
    for _ in range(3):  # the connection may still take a message
        engine.train(learner, IDS, Plan(np.full(1, 0.01), starts(learner)))


def test_a_process_that_fails_says_why():
    with leading_new(2, lambda message: None):
        engine = open_engine("torch", 1, "cpu")
        learner = learner_of("plain")
        engine.train(learner, IDS, Plan(np.full(1, 0.01), starts(learner)))
        with pytest.raises(EngineError, match=r"training process 1 ended: KeyError\(99\)"):
            train_after_nonsense(engine, learner)


def interrupt(*arguments):
    raise KeyboardInterrupt


def test_after_an_interrupted_update_no_call_waits_without_end(monkeypatch):
    with leading_new(2, lambda message: None):
        engine = open_engine("torch", 1, "cpu")
        learner = learner_of("plain")
        plan = Plan(np.full(1, 0.01), starts(learner))
        engine.train(learner, IDS, plan)
        monkeypatch.setattr(TorchNetwork, "train_ids", interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.train(learner, IDS, plan)
        with pytest.raises(EngineError, match="was interrupted"):
            engine.train(learner, IDS, plan)


def test_processes_that_do_not_end_are_killed_together(monkeypatch):
    monkeypatch.setattr(training_processes, "ENDING_SECONDS", 0.0)
    words = [sys.executable, "-c", "import time; time.sleep(1000)"]
    started = [subprocess.Popen(words) for _ in range(3)]
    training_processes.end_all(started)
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 3


def test_all_processes_share_the_time_to_end(monkeypatch):
    waits, clock = [], iter([0.0, 0.0, 10.0, 100.0])

    class Process:
        def wait(self, seconds):
            waits.append(seconds)

    monkeypatch.setattr(training_processes.time, "monotonic", lambda: next(clock))
    training_processes.end_all([Process(), Process(), Process()])
    assert waits == [15.0, 5.0, 0.0]


@pytest.mark.parametrize("stop", [True, False])
def test_a_process_lost_between_updates_stops_the_command_but_not_a_python_program(
    monkeypatch, stop
):
    signals = []
    monkeypatch.setattr(rank_watch, "NOTICE_SECONDS", 0.0)
    monkeypatch.setattr(rank_watch.os, "kill", lambda pid, number: signals.append(number))
    with leading_new(2, lambda message: None, stop) as group:
        engine = open_engine("torch", 1, "cpu")
        learner = learner_of("plain")
        plan = Plan(np.full(1, 0.01), starts(learner))
        engine.train(learner, IDS, plan)
        group.store.set(f"{FAILURE}/1", "a planted failure")
        until(lambda: group.lost is not None and (signals or not stop), 60)
        with pytest.raises(EngineError, match="training process 1 ended: a planted failure"):
            engine.train(learner, IDS, plan)
    assert signals == ([signal.SIGTERM] if stop else [])


class Shared(dict):
    """A store in memory, as far as heartbeats need it."""

    set = dict.__setitem__

    def get(self, key):
        return self[key].encode()

    def check(self, keys):
        return all(key in self for key in keys)


def test_a_process_whose_heartbeat_stops_is_noticed():
    store = Shared()
    first, second = Heartbeats(store, 0, [1]), Heartbeats(store, 1, [0])
    for second_number in range(100):
        assert first.silent(second_number) is None
        assert second.silent(second_number) is None
    noticed = [first.silent(99 + later) for later in range(1, 31)]
    assert noticed[-1] == 1
    assert noticed.index(1) == SILENT_SECONDS


def test_a_process_that_has_not_started_and_one_that_was_stopped_itself_wait():
    store = Shared()
    first, second = Heartbeats(store, 0, [1]), Heartbeats(store, 1, [0])
    assert [first.silent(now) for now in range(100)] == [None] * 100
    second.silent(100)
    first.silent(100)
    assert first.silent(10_000) is None  # all processes were stopped, and this one continues first
    second.silent(10_001)
    assert first.silent(10_001) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_the_port_of_processes_on_one_machine_is_closed_to_its_other_addresses():
    store = loopback_store()
    socket.create_connection((LOOPBACK, store.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", store.port), timeout=5)
    open_to_all = dist.TCPStore(LOOPBACK, 0, None, True, wait_for_workers=False)
    socket.create_connection(("127.0.0.2", open_to_all.port), timeout=5).close()
