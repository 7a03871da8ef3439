"""The engine on PyTorch. It checks every array, moves it to the device, and lets the other modules compute there.

`charloom.engines.base.Engine` documents its methods. Training keeps a learner's numbers on the device
(`torch_network`); every other method copies the parameters there for one call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.base import Array, Ids, Plan, Sampler, Trace
from charloom.engines.checked_arguments import (
    checked_arrays,
    checked_columns,
    checked_ids,
    checked_states,
)
from charloom.engines.kept_network import keeper_of
from charloom.engines.torch.devices import (
    chosen_device,
    device_of_process,
    device_title,
    is_out_of_memory,
    used_device,
)
from charloom.engines.torch.divided_network import DividedNetwork
from charloom.engines.torch.drawing import draw
from charloom.engines.torch.dropout import dropout_masks
from charloom.engines.torch.gradient_sum import GradientSum
from charloom.engines.torch.layer_stack import Inputs, all_states, logits_of, run_layers
from charloom.engines.torch.layers import STEPS
from charloom.engines.torch.ngram_table import NgramTable
from charloom.engines.torch.pair_table import PairTable
from charloom.engines.torch.process_group import ProcessGroup, current_group
from charloom.engines.torch.recent_id_tensors import (
    beginnings,
    contexts_of,
    previous_ids,
    recent_after,
)
from charloom.engines.torch.tensors import Tensors, to_array, to_device
from charloom.engines.torch.text_on_device import TextOnDevice
from charloom.engines.torch.torch_network import Tables, TorchNetwork
from charloom.engines.torch.window_autograd import ReadPairs, window_result
from charloom.errors import EngineError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.model import Learner, State, parameter_shapes
from charloom.model.input_pairs import PAIRS, InputPairs
from charloom.model.learner import RECENT, release_arrays, required_ngrams, required_pairs
from charloom.model.ngrams import ANY_MEMORY, MOST_BYTES, NGrams
from charloom.model.parameters import Parameters
from charloom.registered_cells import is_registered

# Scoring computes so many logits at a time.
MOST_LOGITS: Final = 2**22

CountNGrams = Callable[..., NGrams]


class TorchEngine:
    """The engine on PyTorch.

    Args:
        threads: the largest number of threads on a processor.
        device: cpu, cuda, cuda:n, mps or auto.
        count_ngrams: the `count_ngrams` of the engine that counts n-grams, which happens on the processor.
        graphs: capture updates as CUDA graphs where the device can.

    Raises:
        EngineError: there is no such device; or a call got arrays of a wrong shape or dtype, or ids out of range.
    """

    name = "torch"

    def __init__(
        self,
        threads: int = 1,
        device: str = "auto",
        count_ngrams: CountNGrams | None = None,
        graphs: bool = True,
    ) -> None:
        self.threads = max(1, threads)
        self._group = current_group()
        if self._group is not None:
            device = device_of_process(device, self._group.rank)
            self._group.join()  # before anything is measured
        self.device = chosen_device(device)
        self._graphs = graphs
        self._count = count_ngrams
        self._ngram_tables: WeakKeyDictionary[NGrams, NgramTable] = WeakKeyDictionary()
        self._pair_tables: WeakKeyDictionary[InputPairs, PairTable] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickling and copying create a new engine, because tensors of a device cannot be shared."""
        return TorchEngine, (self.threads, str(self.device), self._count, self._graphs)

    def kind(self) -> str:
        return f"torch ({torch.__version__}, {device_title(self.device)})"

    def describe(self) -> str:
        title = f"torch ({torch.__version__}, {device_title(self.device)}"
        if self._group is not None:
            title += f", {counted(self._group.rank.size, 'process', 'processes')}"
        return f"{title}, {counted(self.threads, 'thread')})"

    def require(self, config: Config) -> None:
        if config.cell not in STEPS and not is_registered(config.cell):
            raise EngineError(
                f"the engine torch does not compute the cell {config.cell}. Use {argument('engine', 'reference')}."
            )
        if self.device.type == "mps" and config.dtype == "float64":
            raise EngineError(
                f"{argument('dtype')} is float64, which Apple's GPU cannot compute. Use "
                f"{argument('device', 'cpu')} or {argument('dtype', 'float32')}."
            )
        group = self._present_group()
        size = 1 if group is None else group.rank.size
        if config.batch_size < size:
            raise EngineError(
                f"{argument('batch_size')} is {config.batch_size}, so {size} processes cannot have a stream each. "
                f"Use at least {argument('batch_size', size)}, or at most "
                f"{counted(config.batch_size, 'process', 'processes')}."
            )

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
        if self._count is None:
            raise EngineError(
                "this torch engine was made without a function that counts n-grams; make it with "
                "open_engine('torch')."
            )
        return self._count(config, characters, ids, segments, most_bytes, most_memory, boundary)

    def loss_and_gradients(
        self,
        learner: Learner,
        x: Ids,
        y: Ids,
        update: int | None = None,
        columns: NDArray[np.int32] | None = None,
    ) -> tuple[float, Parameters, State]:
        if x.ndim != 2 or x.shape != y.shape or not x.size:
            raise EngineError(
                f"x has shape {x.shape} and y has shape {y.shape}; they must have the same shape "
                f"(T, B), and T and B must be at least 1."
            )
        config = learner.config
        with self.computing():
            parameters, state = (
                self._parameters(learner),
                self._state(learner, learner.state, x.shape[1]),
            )
            ids, targets = self._ids(learner, x), self._ids(learner, y)
            masks = None
            if update and config.dropout:
                number = torch.tensor(update, device=self.device)
                masks = dropout_masks(config, number, x.shape, parameters["V"].dtype)
            used = None if columns is None else checked_columns(learner, x.shape, columns)
            log_q = self._log_q(learner, ids, state, used)
            P, rows = parameters.pop(PAIRS, None), self._pair_rows(learner, ids, state)
            pairs = None if P is None or rows is None else ReadPairs.of(P, rows)
            leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
            begins = beginnings(ids, learner.vocabulary.boundary)
            inputs = Inputs(ids, masks=masks, log_q=log_q, begins=begins)
            result = window_result(config, leaves, inputs, targets, hidden(state), pairs)
            gradients = {name: to_array(g) for name, g in result.gradients.items()}
            if pairs is not None and P is not None and result.pair_gradient is not None:
                whole = torch.zeros_like(P)
                whole[pairs.rows[pairs.has_row]] = result.pair_gradient[pairs.has_row]
                gradients[PAIRS] = to_array(whole)
            after = self._arrays(learner, result.state, state, ids)
        return float(result.loss), {name: gradients[name] for name in learner.parameters}, after

    def train(self, learner: Learner, tokens: Ids, plan: Plan) -> Trace:
        count = len(plan.learning_rates)
        results = np.empty((2, count))
        with self.computing():
            stopped = keeper_of(learner).train(learner, self, tokens, plan, results)
        done = count if stopped is None else stopped.updates
        learner.position += done * learner.config.seq_length
        learner.update += done
        if stopped is None:
            return Trace(results[0], results[1])
        release_arrays(learner)
        if stopped.bad_id:
            raise EngineError(
                f"the text has an id that is too large for the model, which has "
                f"{len(learner.vocabulary):,} characters; ids must be from 0 to "
                f"{len(learner.vocabulary) - 1:,}."
            )
        losses, norms = results[:, :done]
        return Trace(losses, norms, "non-finite", stopped.loss, stopped.norm)

    def open_network(self, learner: Learner) -> TorchNetwork | DividedNetwork:
        """Return a network for training, without numbers, for a learner that has all its arrays.

        If this process leads several, the network's streams are divided among them.

        Raises:
            EngineError: this engine cannot train with the learner's settings.
        """
        self._require_dtype(learner)
        self.require(learner.config)
        group = self._present_group()
        if group is None:
            return self.open_part(learner)
        required_ngrams(learner), required_pairs(learner)
        return DividedNetwork(group, learner, self.threads, self.open_part)

    def _present_group(self) -> ProcessGroup | None:
        """Return the processes that train together with this one; None if it trains alone, or if they have ended."""
        return self._group if self._group is current_group() else None

    def open_part(self, learner: Learner, together: GradientSum | None = None) -> TorchNetwork:
        """Return a network for the streams of this process, whose gradients `together` adds up with those of others."""
        tables = Tables(self._ngrams(learner), self._pairs(learner), required_ngrams(learner))
        return TorchNetwork(learner, tables, self.device, self._graphs, together)

    def open_text(self, tokens: Ids) -> TextOnDevice:
        """Return the ids of a text in the form for this engine.

        Raises:
            EngineError: the ids are not contiguous unsigned integers of at most 32 bits with one axis.
        """
        return TextOnDevice(tokens, self.device, upload=self._group is None)

    def score(
        self, learner: Learner, tokens: Ids, state: State
    ) -> tuple[NDArray[np.float64], State]:
        if tokens.ndim != 2 or not tokens.size:
            raise EngineError(
                f"the ids have shape {tokens.shape}; they must have the shape (N, B), and N and B "
                f"must be at least 1."
            )
        N, B = tokens.shape
        nats = np.empty((N - 1, B))
        size = max(2, MOST_LOGITS // (B * len(learner.vocabulary)))
        with self.computing():
            parameters, given = self._parameters(learner), self._state(learner, state, B)
            ids = self._ids(learner, tokens)
            for begin in range(0, N - 1, size):
                x, y = ids[:-1][begin : begin + size], ids[1:][begin : begin + size]
                logits, given = self._logits(learner, parameters, x, given)
                log_p = logits.log_softmax(-1).gather(2, y.unsqueeze(2))
                nats[begin : begin + size] = -log_p.squeeze(2).cpu().numpy()
            return nats, self._state_arrays(given)

    def step(self, learner: Learner, ids: Ids, state: State) -> tuple[Array, State]:
        with self.computing():
            parameters = self._parameters(learner)
            given = self._state(learner, state, len(ids))
            x = self._ids(learner, np.asarray(ids)[np.newaxis])
            logits, after = self._logits(learner, parameters, x, given)
            return to_array(logits[0]), self._state_arrays(after)

    def activations(self, learner: Learner, tokens: Ids, state: State) -> tuple[State, State]:
        with self.computing():
            parameters, given = self._parameters(learner), self._state(learner, state, 1)
            ids = self._ids(learner, tokens)[:, None]
            inputs = self._inputs(learner, parameters, ids, given)
            values, after = all_states(learner.config.cell, parameters, inputs, hidden(given))
            arrays = {name: to_array(value.squeeze(2)) for name, value in values.items()}
            return arrays, self._arrays(learner, after, given, ids)

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
        with self.computing():
            self._ids(learner, np.asarray(read))
            parameters, given = self._parameters(learner), self._state(learner, state, 1)
            for n, uniform in enumerate(uniforms.tolist(), start=len(read)):
                x = torch.tensor([[int(ids[n - 1])]], device=self.device)
                logits, given = self._logits(learner, parameters, x, given)
                recent = ids[max(0, n - sampler.repetition_window) : n]
                ids[n] = draw(logits[0, 0].cpu(), sampler, recent, uniform)
            return ids[len(read) :], self._state_arrays(given)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Compute without gradients and with this engine's number of threads, and then with PyTorch's former one."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.no_grad(), used_device(self.device):
                yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise MemoryError from error
            raise
        finally:
            torch.set_num_threads(before)

    def _require_dtype(self, learner: Learner) -> None:
        """Raise EngineError unless the learner's parameters have a dtype of this engine."""
        dtype = learner.parameters["V"].dtype
        if dtype not in (np.float32, np.float64):
            raise EngineError(
                f"the parameters are {dtype}; the torch engine computes in float32 or float64. "
                f"Use the reference engine for other types."
            )

    def _parameters(self, learner: Learner) -> Tensors:
        """Return the learner's parameters on the device, after checking them."""
        self._require_dtype(learner)
        shapes = parameter_shapes(learner.config, len(learner.vocabulary))
        arrays = checked_arrays(learner, learner.parameters, shapes)
        return {
            name: to_device(array, self.device) for name, array in zip(shapes, arrays, strict=True)
        }

    def _state(self, learner: Learner, state: State, streams: int) -> Tensors:
        """Return a state on the device, after checking it. `recent` is int64 of shape (B, D)."""
        checked_states(learner, state, streams)
        found = {name: to_device(array.copy(), self.device) for name, array in state.items()}
        if RECENT in found:
            found[RECENT] = found[RECENT][0].long()
        return found

    def _ids(self, learner: Learner, ids: Ids) -> torch.Tensor:
        """Return ids on the device, int64, after checking them."""
        return to_device(checked_ids(ids, learner), self.device).long()

    def _logits(
        self, learner: Learner, parameters: Tensors, x: torch.Tensor, state: Tensors
    ) -> tuple[torch.Tensor, Tensors]:
        """Return the logits (T, B, K) after reading ids (T, B), and the state after them."""
        inputs = self._inputs(learner, parameters, x, state)
        top, after = run_layers(learner.config.cell, parameters, inputs, hidden(state))
        logits = logits_of(parameters, top, self._log_q(learner, x, state, None))
        if RECENT in state:
            after[RECENT] = recent_after(state[RECENT], x, learner.vocabulary.boundary)
        return logits, after

    def _inputs(
        self, learner: Learner, parameters: Tensors, x: torch.Tensor, state: Tensors
    ) -> Inputs:
        """Return what the network reads with the ids x, (T, B), without dropout and n-grams."""
        pairs = self._pair_inputs(learner, parameters, x, state)
        return Inputs(x, pairs, begins=beginnings(x, learner.vocabulary.boundary))

    def _arrays(self, learner: Learner, after: Tensors, before: Tensors, x: torch.Tensor) -> State:
        """Return the hidden state `after` as arrays, with the ids after reading x in the state `before`."""
        if RECENT in before:
            recent = recent_after(before[RECENT], x, learner.vocabulary.boundary)
            after = {**after, RECENT: recent}
        return self._state_arrays(after)

    def _state_arrays(self, state: Tensors) -> State:
        """Return a state on the device as arrays."""
        return {
            name: to_array(value).astype(np.int32)[np.newaxis]
            if name == RECENT
            else to_array(value)
            for name, value in state.items()
        }

    def _log_q(
        self, learner: Learner, x: torch.Tensor, state: Tensors, columns: Array | None
    ) -> torch.Tensor | None:
        """Return the logarithms of the n-grams' probabilities, (T, B, K); None without n-grams."""
        table = self._ngrams(learner)
        if table is None:
            return None
        on_device = None if columns is None else to_device(columns.astype(np.int64), self.device)
        dtype = getattr(torch, learner.config.dtype)
        contexts = contexts_of(state[RECENT], x, learner.vocabulary.boundary)
        return table.log_probabilities(contexts, on_device, dtype)

    def _pair_rows(self, learner: Learner, x: torch.Tensor, state: Tensors) -> torch.Tensor | None:
        """Return the row of each pair, (T, B); -1 for a pair without a row. None without pairs."""
        table = self._pairs(learner)
        if table is None:
            return None
        return table.rows(previous_ids(state[RECENT], x, learner.vocabulary.boundary), x)

    def _pair_inputs(
        self, learner: Learner, parameters: Tensors, x: torch.Tensor, state: Tensors
    ) -> torch.Tensor | None:
        """Return the learned inputs of the pairs, (T, B, G·H); None without pairs."""
        rows = self._pair_rows(learner, x, state)
        return None if rows is None else ReadPairs.of(parameters[PAIRS], rows).inputs()

    def _ngrams(self, learner: Learner) -> NgramTable | None:
        """Return the learner's n-grams on the device; None if it has none. They stay there as long as it lives."""
        ngrams = required_ngrams(learner)
        if ngrams is None:
            return None
        if ngrams not in self._ngram_tables:
            self._ngram_tables[ngrams] = NgramTable(ngrams, self.device)
        return self._ngram_tables[ngrams]

    def _pairs(self, learner: Learner) -> PairTable | None:
        """Return the learner's pairs on the device; None if it has none. They stay there as long as it lives."""
        pairs = required_pairs(learner)
        if pairs is None:
            return None
        if pairs not in self._pair_tables:
            self._pair_tables[pairs] = PairTable(pairs, self.device)
        return self._pair_tables[pairs]


def hidden(state: Tensors) -> Tensors:
    """Return the tensors of a state that hold hidden units: all except the recent ids."""
    return {name: value for name, value in state.items() if name != RECENT}
