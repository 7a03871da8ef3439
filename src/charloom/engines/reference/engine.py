"""The engine in plain NumPy. It is slow; tests compare the other engines with it."""

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.engines.checked_arguments import require_same_dtype
from charloom.engines.reference import network, ngram_counts
from charloom.engines.reference.categorical import draw
from charloom.model import Learner, State, hidden_arrays, recent_ids, zero_state
from charloom.model.gradient_step import apply_gradients, gradient_norm, training_gradients
from charloom.model.item_resets import item_beginnings
from charloom.model.ngrams import ANY_MEMORY, MOST_BYTES, NGrams
from charloom.model.parameters import Parameters
from charloom.registered_cells import refuse_registered


class ReferenceEngine:
    """The reference engine; `charloom.engines.base.Engine` documents its methods."""

    name = "reference"

    def require(self, config: Config) -> None:
        refuse_registered(config.cell, self.name)
        require_same_dtype(config)  # the reference engine can train any network

    def kind(self) -> str:
        return f"reference (NumPy {np.__version__})"

    def describe(self) -> str:
        return f"reference (NumPy {np.__version__}, 1 thread)"

    def count_ngrams(
        self,
        config: Config,
        characters: int,
        ids: Ids,
        segments: Array,
        most_bytes: int = MOST_BYTES,
        most_memory: int = ANY_MEMORY,
        boundary: int | None = None,
    ) -> NGrams:
        if len(ids) * ngram_counts.BYTES_PER_CHARACTER > most_memory:
            raise MemoryError
        return ngram_counts.count(
            config.ngram_order, characters, ids, segments, most_bytes, boundary
        )

    def loss_and_gradients(
        self,
        learner: Learner,
        x: Ids,
        y: Ids,
        update: int | None = None,
        columns: NDArray[np.int32] | None = None,
    ) -> tuple[float, Parameters, State]:
        masks = network.dropout_masks(learner.config, update, *x.shape)
        log_q = ngram_counts.log_probabilities(learner, x, learner.state, columns)
        rows = recent_ids.pair_rows_of(learner, x, learner.state)
        begins, cell = item_beginnings(learner, x), learner.config.cell
        loss, gradients, state = network.loss_and_gradients(
            learner.parameters, cell, x, y, learner.state, masks, log_q, rows, begins
        )
        recent = recent_ids.recent_after(x, learner.state, learner.vocabulary.boundary)
        return loss, gradients, {**state, **recent}

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        config = learner.config
        T = config.seq_length
        steps = np.arange(T + 1)[:, np.newaxis]
        losses: list[float] = []
        norms: list[float] = []
        for u, learning_rate in enumerate(plan.learning_rates.tolist()):
            if plan.resets is not None and plan.resets[u]:
                learner.state = zero_state(config, config.batch_size)
            starts, places = plan.window_starts(u, learner.position)
            update = learner.update + 1
            ids = tokens[starts + steps]
            columns = None
            if learner.ngrams and plan.columns is not None:
                columns = plan.columns[(starts + steps)[1:]].astype(np.int32)
            elif learner.ngrams:
                columns = learner.ngrams.columns((places + steps)[1:])
            with np.errstate(over="ignore", invalid="ignore"):
                loss, gradients, state = self.loss_and_gradients(
                    learner, ids[:-1], ids[1:], update, columns
                )
                gradients = training_gradients(config, gradients)
                norm = gradient_norm(gradients)
            if not np.isfinite(loss + norm):
                return Trace(np.array(losses), np.array(norms), "non-finite", loss, norm)
            apply_gradients(learner, gradients, learning_rate, ids[:-1])
            learner.state = state
            learner.position += T
            learner.update = update
            losses.append(loss)
            norms.append(norm)
        return Trace(np.array(losses), np.array(norms))

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        nats = np.empty((len(tokens) - 1, tokens.shape[1]))
        streams = np.arange(tokens.shape[1])
        for n in range(len(nats)):
            logits, state = self.step(learner, tokens[n], state)
            nats[n] = -network.log_softmax(logits)[streams, tokens[n + 1]]
        return nats, state

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        x = ids[np.newaxis]
        begins = item_beginnings(learner, x)
        apart = begins is not None
        cells = network.cells_of(learner.parameters, learner.config.cell, apart)
        rows = recent_ids.pair_rows_of(learner, x, state)
        read = network.characters_at(0, x, rows)
        before = network.zero_where(network.begins_at(0, begins), network.unstack(state))
        carried, h, _ = network.step(cells, read, before)
        log_q = ngram_counts.log_probabilities(learner, x, state)
        logits = network.output(learner.parameters, h, None if log_q is None else log_q[0], apart)
        recent = recent_ids.recent_after(x, state, learner.vocabulary.boundary)
        return logits, {**network.stack(carried), **recent}

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        x = tokens[:, np.newaxis]
        begins = item_beginnings(learner, x)
        cells = network.cells_of(learner.parameters, learner.config.cell, begins is not None)
        carried = network.unstack(state)
        L, _, H = state["h"].shape
        values = {
            name: np.empty((len(tokens), L, H), array.dtype)
            for name, array in hidden_arrays(state).items()
        }
        rows = recent_ids.pair_rows_of(learner, x, state)
        for n in range(len(tokens)):
            before = network.zero_where(network.begins_at(n, begins), carried)
            carried, _, _ = network.step(cells, network.characters_at(n, x, rows), before)
            for name, array in network.stack(carried).items():
                values[name][n] = array[:, 0]
        recent = recent_ids.recent_after(x, state, learner.vocabulary.boundary)
        return values, {**network.stack(carried), **recent}

    def generate(
        self,
        learner: Learner,
        read: Ids,
        sampler: Sampler,
        uniforms: NDArray[np.float64],
        state: State,
    ) -> tuple[Ids, State]:
        ids = np.zeros(len(read) + len(uniforms), dtype=learner.vocabulary.id_dtype)
        ids[: len(read)] = read
        for n, uniform in enumerate(uniforms.tolist(), start=len(read)):
            logits, state = self.step(learner, ids[n - 1 : n], state)
            recent = ids[max(0, n - sampler.repetition_window) : n]
            ids[n] = draw(logits[0], sampler, recent, uniform)
        return ids[len(read) :], state
