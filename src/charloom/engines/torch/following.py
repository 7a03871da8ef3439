"""The work of every process but the first: it does what process 0 says, and knows no files and no clock."""

from typing import Any

import numpy as np
import torch

from charloom.engines.torch.gradient_sum import GradientSum
from charloom.engines.torch.process_group import ProcessGroup
from charloom.engines.torch.rank_messages import (
    CloseParts,
    LoadPart,
    OpenPart,
    TrainedPart,
    TrainPart,
)
from charloom.engines.torch.torch_engine import TorchEngine
from charloom.engines.torch.torch_network import TorchNetwork
from charloom.model import Learner, new_learner


class Follower:
    """The networks of a process that follows process 0."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._parts: dict[int, tuple[TorchEngine, Learner, TorchNetwork]] = {}

    def follow(self) -> None:
        """Join the other processes, and obey messages without end.

        Raises:
            EngineError: a connection broke, or this process cannot do what a message asks for.
        """
        self._group.join()
        while True:
            answer = self.obey(self._group.receive(0))
            if answer is not None:
                self._group.send(0, answer)

    def obey(self, message: Any) -> TrainedPart | None:
        """Do what a message says; return the answer to it, if it has one."""
        if isinstance(message, OpenPart):
            self._open(message)
        elif isinstance(message, LoadPart):
            self._load(message)
        elif isinstance(message, TrainPart):
            return self._train(message)
        elif isinstance(message, CloseParts):
            for number in message.numbers:
                self._parts.pop(number, None)
        return None

    def _open(self, message: OpenPart) -> None:
        """Make a network without numbers."""
        config = message.config
        engine = TorchEngine(message.threads, config.device)
        learner = new_learner(config, message.vocabulary)
        learner.ngrams, learner.pairs = message.ngrams, message.pairs
        together = GradientSum.of(
            self._group, message.first_stream, message.streams, config.seq_length
        )
        network = engine.open_part(learner, together)
        learner.parameters, learner.slots = {}, {}  # the network has them
        self._parts[message.number] = engine, learner, network

    def _load(self, message: LoadPart) -> None:
        """Take the state from the message, and the weights and slots from process 0."""
        _, _, network = self._parts[message.number]
        with torch.no_grad():
            network.load_state(message.state)
            for numbers in network.all_numbers():
                self._group.copy_from_first(numbers)

    def _train(self, message: TrainPart) -> TrainedPart:
        """Apply updates to the network."""
        engine, learner, network = self._parts[message.number]
        learner.update = message.update
        results = np.empty((2, len(message.plan.learning_rates)))
        with engine.computing():
            stopped = network.train_ids(learner, message.ids, message.plan, results)
        done = results.shape[1] if stopped is None else stopped.updates
        failed = 0.0 if stopped is None else stopped.loss
        return TrainedPart(results[0, :done], failed, network.stored_state())
