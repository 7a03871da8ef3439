"""A network on a device between calls of `train`: takes a learner's numbers, trains, and gives them back.

`charloom.engines.kept_network` keeps it. On a processor an update that is not finite is simply not applied. On a
GPU the host would have to wait for each loss, so the device itself restores the numbers of such an update, and of
all after it; the host looks at the losses when the call ends.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from charloom.engines.base import Array, Ids, Plan
from charloom.engines.checked_arguments import (
    Shapes,
    checked_arrays,
    checked_plan,
    checked_slots,
    checked_states,
)
from charloom.engines.torch import update_rules
from charloom.engines.torch.captured_update import CapturedUpdate
from charloom.engines.torch.devices import wide_dtype
from charloom.engines.torch.dropout import dropout_masks
from charloom.engines.torch.flat_layout import FlatLayout
from charloom.engines.torch.gradient_sum import GradientSum
from charloom.engines.torch.layer_stack import Inputs
from charloom.engines.torch.ngram_table import NgramTable
from charloom.engines.torch.pair_table import PairTable
from charloom.engines.torch.recent_id_tensors import (
    beginnings,
    contexts_of,
    previous_ids,
    recent_after,
)
from charloom.engines.torch.tensors import copy_into, to_device
from charloom.engines.torch.text_on_device import TextOnDevice
from charloom.engines.torch.update_rules import Rates, clip, descend, rate_rows
from charloom.engines.torch.window_autograd import ReadPairs, WindowResult, window_result
from charloom.model import Learner, State, parameter_shapes, state_arrays
from charloom.model.input_pairs import PAIRS
from charloom.model.learner import NO_ID, RECENT
from charloom.model.ngrams import NGrams
from charloom.model.optimizers import averaging_rate, slot_names


@dataclass(frozen=True)
class StoppedUpdates:
    """Why not all updates of a call were applied; `charloom.engines.kept_network.Stopped` documents it."""

    updates: int
    loss: float = 0.0
    norm: float = 0.0
    bad_id: bool = False


@dataclass(frozen=True)
class Tables:
    """What a model looks up, on the device: its n-grams and its pairs. Each is None if it has none."""

    ngrams: NgramTable | None = None
    pairs: PairTable | None = None
    counted: NGrams | None = None


class TorchNetwork:
    """The numbers of a learner on a device.

    Args:
        learner: has the settings, the sizes and the dtype. Its numbers are not read.
        tables: its n-grams and its pairs.
        device: the device.
        graphs: capture updates as CUDA graphs where the device can.
        together: adds up the gradients of several processes; the learner has only the streams of this one.

    Attributes:
        dtype: the NumPy dtype of the parameters.
        numbers: the parameters without those of pairs, and their slots, (1 + slots, N), as `FlatLayout` places them.
        pair_numbers: the inputs of pairs and their slots, (1 + slots, R, G·H); None without pairs.
        gradient: the gradient of the last window in the same places, (N,).
    """

    never_copied: frozenset[str] = frozenset()

    def __init__(
        self,
        learner: Learner,
        tables: Tables,
        device: torch.device,
        graphs: bool = True,
        together: GradientSum | None = None,
    ) -> None:
        config, self.dtype = learner.config, learner.parameters["V"].dtype
        self._config, self._tables, self._device = config, tables, device
        self._waits = device.type == "cpu"  # the host knows each loss before the next update
        self._together = together
        self._characters, self._boundary = len(learner.vocabulary), learner.vocabulary.boundary
        self._shapes: Shapes = parameter_shapes(config, self._characters)
        dense = {name: shape for name, shape in self._shapes.items() if name != PAIRS}
        self._layout = FlatLayout.of(dense)
        self._slots = slot_names(config)
        self._kind = getattr(torch, str(self.dtype))
        rows = 1 + len(self._slots)
        self.numbers = self._zeros(rows, self._layout.size)
        # The last entry is for the loss, if the gradients of several processes are added up.
        self._sum = self._zeros(self._layout.size + 1)
        self.gradient = self._sum[:-1]
        self.pair_numbers = (
            self._zeros(rows, *self._shapes[PAIRS]) if PAIRS in self._shapes else None
        )
        self._parameters = {
            name: view.detach().requires_grad_()
            for name, view in self._layout.views(self.numbers[0]).items()
        }
        self._gradients = self._layout.views(self.gradient)
        self._make_inputs()
        self._run = self._update
        fixed = PAIRS not in self._shapes and self._boundary is None  # the shapes of all tensors
        if graphs and together is None and device.type == "cuda" and fixed:
            self._run = CapturedUpdate(self._update)

    def _zeros(self, *shape: int) -> torch.Tensor:
        """Return zeros in the dtype of the parameters on the device."""
        return torch.zeros(shape, dtype=self._kind, device=self._device)

    def _make_inputs(self) -> None:
        """Make the tensors that an update reads and writes. Their memory stays the same, for CUDA graphs."""
        config, device = self._config, self._device
        T, B = config.seq_length, config.batch_size
        hidden = {
            name: shape for name, (shape, _) in state_arrays(config, B).items() if name != RECENT
        }
        self._state = {name: self._zeros(*shape) for name, shape in hidden.items()}
        self._recent: torch.Tensor | None = None
        self._window = torch.zeros(T + 1, B, dtype=torch.int64, device=device)
        self._log_q = (
            self._zeros(T, B, self._characters) if self._tables.ngrams is not None else None
        )
        self._rows: torch.Tensor | None = None  # of the pairs, (T, B)
        self._rates = self._zeros(4)
        self._number = torch.zeros((), dtype=torch.int64, device=device)  # of the update
        # True until an update of this call is not finite.
        self._alive = torch.ones((), dtype=torch.bool, device=device)
        # The loss and the norm of the last update.
        self._outcome = torch.zeros(2, dtype=wide_dtype(device), device=device)

    def load(self, learner: Learner) -> None:
        """Copy the numbers of a learner that has all its arrays into this network.

        Raises:
            EngineError: an array is missing or has a wrong shape or dtype.
        """
        names = list(self._shapes)
        rows = [
            checked_arrays(learner, learner.parameters, self._shapes),
            *checked_slots(learner, self._shapes),
        ]
        for row, arrays in enumerate(rows):
            views = self._views(row)
            for name, array in zip(names, arrays, strict=True):
                views[name].copy_(to_device(array, self._device))
        checked_states(learner, learner.state, self._config.batch_size)
        self.load_state(learner.state)

    def load_state(self, state: State) -> None:
        """Copy the arrays of a state into this network."""
        for name, array in state.items():
            if name == RECENT:
                self._recent = to_device(array[0].astype(np.int64), self._device)
            else:
                self._state[name].copy_(to_device(array, self._device))

    def store(self, held: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the numbers into arrays, and return these as the attributes ARRAYS of a learner.

        `held` has the parameters and slots that must get the numbers; None makes new ones.
        """
        held = held or {
            "parameters": self._new_arrays(),
            "slots": {name: self._new_arrays() for name in self._slots},
        }
        for row, arrays in enumerate((held["parameters"], *map(held["slots"].get, self._slots))):
            for name, view in self._views(row).items():
                copy_into(arrays[name], view)
        return {**held, "state": self.stored_state()}

    def stored_state(self) -> State:
        """Return the state as new arrays."""
        state: State = {}
        for name, (shape, dtype) in state_arrays(self._config, self._config.batch_size).items():
            state[name] = np.empty(shape, dtype)
            source = self._recent if name == RECENT else self._state[name]
            assert source is not None
            copy_into(state[name], source.view(shape))
        return state

    def all_numbers(self) -> list[torch.Tensor]:
        """Return the tensors with all parameters and slots."""
        return [self.numbers] if self.pair_numbers is None else [self.numbers, self.pair_numbers]

    def train_ids(
        self, learner: Learner, ids: Ids, plan: Plan, results: NDArray[np.float64]
    ) -> StoppedUpdates | None:
        """Apply updates, as `train` does, on ids that only this plan reads, with one start for each window."""
        return self.train(learner, TextOnDevice(ids, self._device), plan, 0, results)

    def _new_arrays(self) -> dict[str, Array]:
        """Return an array for each parameter, without values."""
        return {name: np.empty(shape, self.dtype) for name, shape in self._shapes.items()}

    def _views(self, row: int) -> dict[str, torch.Tensor]:
        """Return the parameters (row 0) or a slot as tensors by parameter name, in the learner's order."""
        dense = self._layout.views(self.numbers[row])
        if self.pair_numbers is not None:
            dense[PAIRS] = self.pair_numbers[row]
        return {name: dense[name] for name in self._shapes}

    def train(
        self,
        learner: Learner,
        text: TextOnDevice,
        plan: Plan,
        position: int,
        results: NDArray[np.float64],
    ) -> StoppedUpdates | None:
        """Apply updates, as `KeptNetwork.train` does. The caller has turned gradients off.

        If Ctrl-C or a lack of memory ends the call, the updates that were applied are added to the learner's counts.
        """
        config, count = self._config, len(plan.learning_rates)
        plan = checked_plan(plan, config, position, text.length)
        read = text.windows(self._begins(plan.starts, count), config.seq_length, self._characters)
        columns = self._columns(plan, count)
        rows = rate_rows(config, plan.learning_rates, learner.update + 1)
        rates = torch.from_numpy(rows).to(self._kind).to(self._device)
        outcomes = torch.zeros((count, 2), dtype=wide_dtype(self._device), device=self._device)
        self._alive.fill_(True)
        done = 0
        try:
            for u in range(count):
                if plan.resets is not None and plan.resets[u]:
                    self._reset()
                window = read(u)
                if window is None:
                    break
                self._stage(window, None if columns is None else columns[u], rates[u])
                self._do_update(learner.update + 1 + u)
                outcomes[u] = self._outcome
                done = u + 1
                if self._waits and not self._alive:
                    break
        except BaseException:
            learner.update += done
            learner.position += done * config.seq_length
            raise
        return self._finish(outcomes[:done].cpu().numpy(), results)

    @staticmethod
    def _finish(outcomes: NDArray[Any], results: NDArray[np.float64]) -> StoppedUpdates | None:
        """Write the losses and norms of the applied updates to `results`, and return why no more were applied."""
        finite = np.isfinite(outcomes.sum(axis=1))
        applied = len(finite) if finite.all() else int(np.argmin(finite))
        results[:, :applied] = outcomes[:applied].T
        if applied < len(finite):
            loss, norm = outcomes[applied].tolist()
            return StoppedUpdates(applied, loss, norm)
        return StoppedUpdates(applied, bad_id=True) if applied < results.shape[1] else None

    def _begins(self, starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Return where the windows of each update begin, shape (updates, B)."""
        if starts.ndim == 2:
            return starts
        steps = np.arange(count, dtype=np.int64) * self._config.seq_length
        return starts + steps[:, np.newaxis]

    def _columns(self, plan: Plan, count: int) -> torch.Tensor | None:
        """Return the columns of the n-grams for each target, (updates, T, B); None without n-grams."""
        counted = self._tables.counted
        if counted is None:
            return None
        ahead = np.arange(1, self._config.seq_length + 1)[:, np.newaxis]
        if plan.columns is not None:
            begins = self._begins(plan.starts, count)[:, np.newaxis]
            return to_device(plan.columns[begins + ahead].astype(np.int64), self._device)
        places = self._begins(plan.starts if plan.places is None else plan.places, count)
        found = [counted.columns(place + ahead) for place in places]
        stacked = np.array(found, np.int64).reshape(count, *ahead.shape[:1], places.shape[1])
        return to_device(stacked, self._device)

    def _reset(self) -> None:
        """Set all states to zero, unless an update of this call was not applied."""
        for array in self._state.values():
            array.masked_fill_(self._alive, 0)
        if self._recent is not None:
            self._recent = torch.where(self._alive, NO_ID, self._recent)

    def _stage(
        self, window: torch.Tensor, columns: torch.Tensor | None, rates: torch.Tensor
    ) -> None:
        """Copy what an update reads into the tensors from which it reads."""
        self._window.copy_(window)
        self._rates.copy_(rates)
        x, tables = self._window[:-1], self._tables
        if tables.ngrams is not None and self._log_q is not None:
            self._log_q.copy_(
                tables.ngrams.log_probabilities(self._contexts(x), columns, self._kind)
            )
        if tables.pairs is not None and self._recent is not None:
            previous = previous_ids(self._recent, x, self._boundary)
            self._rows = tables.pairs.rows(previous, x)

    def _read(self) -> None:
        """Remember the ids of the staged window as read, if its update was applied."""
        if self._recent is not None:
            after = recent_after(self._recent, self._window[:-1], self._boundary)
            self._recent = torch.where(self._alive, after, self._recent)

    def _contexts(self, x: torch.Tensor) -> torch.Tensor:
        """Return the ids that each stream read last after each step, (T, B, D)."""
        assert self._recent is not None
        return contexts_of(self._recent, x, self._boundary)

    def _do_update(self, number: int) -> None:
        """Do the update `number` from the staged inputs; its loss and norm are then in `_outcome`."""
        self._number.fill_(number)
        self._run()
        self._read()
        self._average(number)

    def _update(self) -> None:
        """Compute the gradient of the staged window, and apply the update if it is finite."""
        result, pairs = self._window_result()
        for name, gradient in result.gradients.items():
            self._gradients[name].copy_(gradient)
        loss, own_loss = result.loss, result.loss
        if self._together is not None:
            loss = self._together.add_up(self._sum, result)
            if pairs is not None:
                pairs, result = self._together.add_up_pairs(pairs, result)
        norm = self._norm(result, pairs)
        if self._together is not None:
            norm = norm + 0 * loss  # if a loss is not finite, the norm is not finite in any process
        self._outcome.copy_(torch.stack([own_loss, norm]))
        self._alive.logical_and_(torch.isfinite(loss + norm))
        if self._waits:
            if self._alive:
                self._apply(result, pairs, norm)
                self._state = result.state
            return
        before = self.numbers.clone()
        pairs_before = None if self.pair_numbers is None else self.pair_numbers.clone()
        self._apply(result, pairs, norm)
        self.numbers.copy_(torch.where(self._alive, self.numbers, before))
        if pairs_before is not None and self.pair_numbers is not None:
            self.pair_numbers.copy_(torch.where(self._alive, self.pair_numbers, pairs_before))
        for name, array in result.state.items():
            self._state[name].copy_(torch.where(self._alive, array, self._state[name]))

    def _window_result(self) -> tuple[WindowResult, ReadPairs | None]:
        """Return the loss and the gradient of the staged window, and the inputs of pairs that it reads."""
        config = self._config
        x, y = self._window[:-1], self._window[1:]
        masks, first = None, 0 if self._together is None else self._together.first_stream
        if config.dropout:
            masks = dropout_masks(config, self._number, x.shape, self._kind, first)
        pairs = None
        if self.pair_numbers is not None and self._rows is not None:
            pairs = ReadPairs.of(self.pair_numbers[0], self._rows)
        begins = beginnings(x, self._boundary)
        inputs = Inputs(x, masks=masks, log_q=self._log_q, begins=begins)
        mean = config.reduction == "mean"
        result = window_result(config, self._parameters, inputs, y, self._state, pairs, mean)
        return result, pairs

    def _norm(self, result: WindowResult, pairs: ReadPairs | None) -> torch.Tensor:
        """Return the norm of all gradients together."""
        wide = wide_dtype(self._device)
        squares = torch.linalg.vector_norm(self.gradient, dtype=wide).square()
        if pairs is not None and result.pair_gradient is not None:
            own = result.pair_gradient[pairs.has_row]
            squares = squares + torch.linalg.vector_norm(own, dtype=wide).square()
        return squares.sqrt()

    def _apply(self, result: WindowResult, pairs: ReadPairs | None, norm: torch.Tensor) -> None:
        """Clip the gradient, and let the optimizer change the numbers."""
        config, rates = self._config, Rates(*self._rates)
        clip(config, self.gradient, norm)
        descend(config, self.numbers, self.gradient, rates, self._layout.weights)
        if pairs is None or result.pair_gradient is None or self.pair_numbers is None:
            return
        rows, gradient = pairs.rows[pairs.has_row], result.pair_gradient[pairs.has_row]
        clip(config, gradient, norm)
        some = self.pair_numbers[:, rows].flatten(1)
        descend(config, some, gradient.flatten(), rates, some.shape[1])
        self.pair_numbers[:, rows] = some.view(len(some), *gradient.shape)

    def _average(self, number: int) -> None:
        """Move the averaged weights towards the weights after update `number`, if it was applied."""
        rate = averaging_rate(self._config.averaging, number) if self._config.averaging else 0.0
        if not rate:
            return
        for numbers in (self.numbers, self.pair_numbers):
            if numbers is not None:
                update_rules.average(numbers[0], numbers[-1], rate, self._alive)
