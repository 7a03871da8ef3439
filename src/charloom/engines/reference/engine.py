"""The engine contract kept in NumPy: slow, plain, and the truth that other engines are held to."""

import numpy as np
from numpy.typing import NDArray

from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.engines.reference import network
from charloom.errors import EngineError
from charloom.model import Learner, State
from charloom.model.optimizers import adagrad, clip
from charloom.model.parameters import Parameters


class ReferenceEngine:
    """See `charloom.engines.base.Engine`, whose docstrings these methods keep."""

    name = "reference"

    def describe(self) -> str:
        return f"reference (NumPy {np.__version__}, 1 thread)"

    def loss_and_gradients(
        self, learner: Learner, x: Ids, y: Ids
    ) -> tuple[float, Parameters, State]:
        loss, gradients, h = network.loss_and_gradients(
            learner.parameters, x, y, learner.state["h"][0]
        )
        return loss, gradients, {"h": h[np.newaxis]}

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        T = learner.config.seq_length
        accumulators = learner.slots["accumulator"]
        losses: list[float] = []
        norms: list[float] = []
        for learning_rate in plan.learning_rates.tolist():
            e = learner.position
            x, y = tokens[e : e + T, np.newaxis], tokens[e + 1 : e + T + 1, np.newaxis]
            with np.errstate(over="ignore", invalid="ignore"):
                loss, gradients, state = self.loss_and_gradients(learner, x, y)
                norm = gradient_norm(gradients)
            if not np.isfinite(loss + norm):
                return Trace(np.array(losses), np.array(norms), "non-finite", loss, norm)
            for name, gradient in gradients.items():
                adagrad(
                    learner.parameters[name],
                    clip(gradient, plan.clip),
                    accumulators[name],
                    learning_rate,
                    plan.epsilon,
                )
            learner.state = state
            learner.position += T
            learner.update += 1
            losses.append(loss)
            norms.append(norm)
        return Trace(np.array(losses), np.array(norms))

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        cell = network.cell_of(learner.parameters)
        h = state["h"][0]
        nats = np.empty(len(tokens) - 1)
        for n in range(len(tokens) - 1):
            h = cell.forward(tokens[n : n + 1], h)
            log_p = network.log_softmax(network.output(learner.parameters, h))
            nats[n] = -log_p[0, tokens[n + 1]]
        return nats, {"h": h[np.newaxis]}

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        h = network.cell_of(learner.parameters).forward(ids, state["h"][0])
        return network.output(learner.parameters, h), {"h": h[np.newaxis]}

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        cell = network.cell_of(learner.parameters)
        h = state["h"][0]
        values = np.empty((len(tokens), 1, h.shape[-1]), dtype=h.dtype)
        for n in range(len(tokens)):
            h = cell.forward(tokens[n : n + 1], h)
            values[n, 0] = h[0]
        return {"h": values}, {"h": h[np.newaxis]}

    def generate(
        self,
        learner: Learner,
        first: int,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        ids = np.empty(len(uniforms), dtype=learner.vocabulary.id_dtype)
        last = first
        for n, uniform in enumerate(uniforms.tolist()):
            logits, state = self.step(learner, np.array([last]), state)
            last = draw(logits[0], sampler.temperature, uniform)
            ids[n] = last
        return ids, state


def gradient_norm(gradients: Parameters) -> float:
    """The Euclidean norm of all gradients together, summed in float64."""
    return float(np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in gradients.values())))


def draw(logits: Array, temperature: float, uniform: float) -> int:
    """One id from softmax(logits / temperature) by the inverse of its distribution function.

    SPEC: Sampling. Weights in the logits' dtype, their running sum in float64.
    """
    if not np.isfinite(logits).all():
        raise EngineError("the model's logits are not finite: it has diverged; use an earlier one.")
    rounded = logits.dtype.type(temperature)
    if rounded == 0:
        return int(np.argmax(logits))
    with np.errstate(over="ignore"):  # a quotient beyond the range: its weight is 0
        weights = np.exp((logits - logits.max()) / rounded)
    sums = np.cumsum(weights, dtype=np.float64)
    # u < 1, but u * total may round up to the total itself: then it is the last id.
    return min(int(np.searchsorted(sums, uniform * sums[-1], side="right")), len(sums) - 1)
