"""A network in the layout of the kernels of the native engine: takes a learner's numbers, trains, and gives them back."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from charloom import _native
from charloom.config import Config
from charloom.engines.base import Array, Plan
from charloom.engines.checked_arguments import (
    Shapes,
    checked_arrays,
    checked_plan,
    checked_slots,
    checked_states,
)
from charloom.model import Learner, state_arrays
from charloom.model.input_pairs import PAIRS
from charloom.model.optimizers import slot_names
from charloom.model.parameters import Parameters

Numbers = NDArray[np.float64]
Network: TypeAlias = "_native._Training[np.float32] | _native._Training[np.float64]"


@dataclass(frozen=True)
class NativeNetwork:
    """A network of the kernels, for the numbers of a learner; `charloom.engines.kept_network` keeps it.

    Attributes:
        network: the network.
        config: the settings for which it was opened.
        shapes: the shape of each parameter by name.
        dtype: the dtype of the parameters.
        pair_inputs: the arrays of the parameter `pairs.weight` by slot name, that of the weights under "". The
            kernels work in these arrays, so they are never copied.
    """

    network: Network
    config: Config
    shapes: Shapes
    dtype: np.dtype[Any]
    pair_inputs: dict[str, Array] = field(default_factory=dict)

    never_copied: ClassVar[frozenset[str]] = frozenset({PAIRS})

    def load(self, learner: Learner) -> None:
        """Copy the numbers of a learner that has all its arrays into this network.

        Raises:
            EngineError: an array is missing, or the kernels cannot use it.
        """
        self.network.load(
            weights=checked_arrays(learner, learner.parameters, self.shapes),
            slots=checked_slots(learner, self.shapes),
            state=checked_states(learner, learner.state, learner.config.batch_size),
        )
        if PAIRS in self.shapes:
            slots = {slot: arrays[PAIRS] for slot, arrays in learner.slots.items()}
            self.pair_inputs.update({"": learner.parameters[PAIRS], **slots})

    def store(self, held: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the numbers into arrays, and return these as the attributes ARRAYS of a learner.

        `held` has the parameters and slots that must get the numbers; None makes new ones.
        """
        names, streams = slot_names(self.config), self.config.batch_size
        held = held or {
            "parameters": self._new_arrays(""),
            "slots": {name: self._new_arrays(name) for name in names},
        }
        state = {
            name: np.empty(shape, dtype)
            for name, (shape, dtype) in state_arrays(self.config, streams).items()
        }
        self.network.store(
            weights=tuple(held["parameters"].values()),
            slots=tuple(tuple(held["slots"][name].values()) for name in names),
            state=tuple(state.values()),
        )
        return {**held, "state": state}

    def train(
        self,
        learner: Learner,
        text: _native.Text,
        plan: Plan,
        position: int,
        results: Numbers,
        checked: bool = False,
    ) -> _native.TrainResult | None:
        """Apply updates, as `KeptNetwork.train` does.

        The kernels check everything that they read. Only if they refuse it, find the reason, or convert it.
        `checked` says that this was done. `position` is added to the indices of a plan with one start per stream.
        """
        try:
            return self.network.train(
                text=text,
                starts=plan.starts,
                places=plan.places,
                resets=plan.resets,
                columns=plan.columns,
                position=position,
                learning_rates=plan.learning_rates,
                update=learner.update,
                results=results,
            )
        except (TypeError, ValueError):
            if checked:
                raise
        plan = checked_plan(plan, self.config, position, text.length)
        return self.train(learner, text, plan, 0, results, checked=True)

    def _new_arrays(self, slot: str) -> Parameters:
        """Return arrays for the numbers of a slot; "" stands for the parameters."""
        return {
            name: self.pair_inputs[slot] if name == PAIRS else np.empty(shape, self.dtype)
            for name, shape in self.shapes.items()
        }
