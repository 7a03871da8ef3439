"""Checks the code of a registered cell on small random numbers, when it is registered.

The rules are those of spec/mathematics.md: Registered cells. Shapes: T steps, B streams, D inputs, H hidden units.
"""

from collections.abc import Callable
from typing import Final

import torch

from charloom.engines.torch.registered_layers import (
    checked,
    reported,
    states_before,
    states_in_steps,
    states_over_window,
)
from charloom.engines.torch.tensors import Tensors
from charloom.errors import ConfigError, EngineError
from charloom.registered_cells import PARAMETER, RegisteredCell

T: Final = 5
B: Final = 3
D: Final = 7
H: Final = 8
SEED: Final = 1
SIZE: Final = 0.5  # standard deviation of the numbers
ROUNDING: Final = 1e-9  # norm-relative, between two ways to compute the same numbers in float64
STEP: Final = 1e-5  # of the central differences
SLOPE: Final = 1e-4  # norm-relative, between autograd and central differences


class CellCheck:
    """A cell with the random numbers on which it is checked, in float64."""

    def __init__(self, cell: RegisteredCell) -> None:
        self.cell = cell
        random = torch.Generator().manual_seed(SEED)

        def normals(*shape: int) -> torch.Tensor:
            return SIZE * torch.randn(*shape, generator=random, dtype=torch.float64)

        self.weights = {name: normals(*shape) for name, shape in cell.shapes(H, D).items()}
        self.x = normals(T, B, D)
        self.state = {name: normals(B, H) for name in cell.states}

    def run(self) -> None:
        """Make all checks.

        Raises:
            ConfigError: the cell breaks a rule; the message says which.
        """
        try:
            self.require_finite()
            self.require_unchanged_arguments()
            self.require_the_same_twice()
            self.require_independent_streams()
            self.require_layer_as_steps()
            self.require_dtype()
            self.require_gradients()
        except EngineError as error:
            raise ConfigError(error.message) from None

    def steps(self) -> Tensors:
        """Return the states after each step by `step`."""
        return states_in_steps(self.cell, self.weights, self.x, self.state)

    def layer(self) -> Tensors:
        """Return the states after each step by `layer`, or by `step` if the cell has no `layer`."""
        return states_over_window(self.cell, self.weights, self.x, self.state)

    def ways(self) -> dict[str, Callable[[], Tensors]]:
        """Return the ways to compute the states, by the name of the method."""
        own = {"layer": self.layer} if hasattr(self.cell.definition, "layer") else {}
        return {"step": self.steps, **own}

    def refusal(self, method: str, rest: str) -> ConfigError:
        """Return the error that a method breaks a rule."""
        return ConfigError(f"{method} of the cell {self.cell.name} {rest}")

    def require_finite(self) -> None:
        """Refuse a cell that returns numbers which are not finite, also from the zero state."""
        for method, compute in self.ways().items():
            kept = self.state
            for state in (kept, {name: torch.zeros_like(s) for name, s in kept.items()}):
                self.state = state
                bad = [name for name, s in compute().items() if not s.isfinite().all()]
                if bad:
                    self.state = kept
                    raise self.refusal(
                        method,
                        f"returned a NaN or infinite {bad[0]} for finite numbers of usual size; check divisions, logarithms "
                        f"and roots.",
                    )
            self.state = kept

    def require_unchanged_arguments(self) -> None:
        """Refuse a cell that writes into its arguments."""
        for method, compute in self.ways().items():
            before = {name: tensor.clone() for name, tensor in self.arguments().items()}
            compute()
            for name, tensor in self.arguments().items():
                if not torch.equal(tensor, before[name]):
                    raise self.refusal(
                        method,
                        f"changed {name} in place; it must only read its arguments. Use a + b instead of a.add_(b), and "
                        f"torch.cat instead of an assignment to a slice.",
                    )

    def require_the_same_twice(self) -> None:
        """Refuse a cell that returns other numbers when it is called again."""
        for method, compute in self.ways().items():
            first, again = compute(), compute()
            if any(not torch.equal(first[name], again[name]) for name in first):
                raise self.refusal(
                    method,
                    "returned other numbers when it was called again with the same arguments; it must be pure: keep nothing "
                    "in self or in global variables, and draw no random numbers (dropout is a setting).",
                )

    def require_independent_streams(self) -> None:
        """Refuse a cell in which one stream of the batch depends on another."""
        for method, compute in self.ways().items():
            whole, kept = compute(), (self.x, self.state)
            self.x = self.x[:, :1]
            self.state = {name: s[:1] for name, s in self.state.items()}
            alone = compute()
            self.x, self.state = kept
            if any(not close(alone[name], s[:, :1]) for name, s in whole.items()):
                raise self.refusal(
                    method,
                    "returned other numbers for a stream alone than for the same stream in a batch; each stream must be "
                    "computed by itself, without means or norms over the batch.",
                )

    def require_layer_as_steps(self) -> None:
        """Refuse a `layer` that computes something else than `step` does again and again."""
        steps, layer = self.steps(), self.layer()
        for name in self.cell.states:
            if not close(layer[name], steps[name]):
                most = float((layer[name] - steps[name]).abs().max())
                raise self.refusal(
                    "layer",
                    f"returned another {name} than step does step by step (largest difference {most:.2g}); both must compute "
                    f"the same function.",
                )

    def require_dtype(self) -> None:
        """Refuse a cell that cannot compute in float32, or whose result there has another dtype."""
        kept = self.weights, self.x, self.state
        self.weights = {name: w.float() for name, w in self.weights.items()}
        self.x, self.state = self.x.float(), {name: s.float() for name, s in self.state.items()}
        try:
            for compute in self.ways().values():
                compute()
        finally:
            self.weights, self.x, self.state = kept

    def require_gradients(self) -> None:
        """Refuse a cell whose gradient by autograd differs from central differences of its own numbers."""
        random = torch.Generator().manual_seed(SEED + 1)
        out = {
            n: torch.randn(T, B, H, generator=random, dtype=torch.float64) for n in self.cell.states
        }

        for method, compute in self.ways().items():

            def loss(compute: Callable[[], Tensors] = compute) -> torch.Tensor:
                return torch.stack([(out[n] * s).sum() for n, s in compute().items()]).sum()

            slopes = self.slopes(loss, method)
            for name, tensor in self.arguments().items():
                direction = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
                measured = self.central(loss, tensor, direction)
                found = float((slopes[name] * direction).sum())
                scale = float(slopes[name].norm()) + abs(measured)
                if abs(found - measured) > SLOPE * max(scale, 1.0):
                    raise self.refusal(
                        method,
                        f"has a wrong gradient with respect to {name}: along a random direction autograd has {found:.6g}, and "
                        f"central differences have {measured:.6g}. Use only PyTorch's differentiable operations: no "
                        f"detach, item or NumPy.",
                    )

    def slopes(self, loss: Callable[[], torch.Tensor], method: str) -> Tensors:
        """Return the gradient of a loss with respect to each argument by autograd; zeros where there is none."""
        leaves = self.arguments()
        with reported(self.cell, method), torch.enable_grad():
            for leaf in leaves.values():
                leaf.requires_grad_()
            value = loss()
            found: list[torch.Tensor | None] = [None] * len(leaves)
            if value.requires_grad:
                found = list(torch.autograd.grad(value, list(leaves.values()), allow_unused=True))
        for leaf in leaves.values():
            leaf.requires_grad_(False)
        pairs = zip(leaves.items(), found, strict=True)
        return {n: torch.zeros_like(leaf) if g is None else g for (n, leaf), g in pairs}

    @staticmethod
    def central(
        loss: Callable[[], torch.Tensor], tensor: torch.Tensor, direction: torch.Tensor
    ) -> float:
        """Return the slope of a loss along a direction of one argument by central differences."""
        kept, values = tensor.clone(), []
        for sign in (1, -1):
            tensor.copy_(kept + sign * STEP * direction)
            values.append(float(loss()))
        tensor.copy_(kept)
        return (values[0] - values[1]) / (2 * STEP)

    def arguments(self) -> Tensors:
        """Return what the cell reads, by names for messages."""
        states = {f"the state {name}": s for name, s in self.state.items()}
        return {"x": self.x, **states, **self.weights}


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Return True if two tensors in float64 have the same numbers except for rounding."""
    return float((a - b).norm()) <= ROUNDING * (1 + float(b.norm()))


def check_cell(cell: RegisteredCell) -> tuple[str, ...]:
    """Check a cell, and return the names of its gates.

    Raises:
        ConfigError: the cell breaks a rule; the message says which.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        check = CellCheck(cell)
        check.run()
        return gate_names(check)


def gate_names(check: CellCheck) -> tuple[str, ...]:
    """Return the names of the values that the method `gates` returns; none without such a method.

    Raises:
        ConfigError: it failed, or a name or a shape is not allowed.
    """
    cell, method = check.cell, getattr(check.cell.definition, "gates", None)
    if method is None:
        return ()
    before = states_before(check.steps(), check.state, begins=None)
    rows = {name: state.flatten(0, 1) for name, state in before.items()}
    try:
        with reported(cell, "gates"):
            found = method(check.x.flatten(0, 1), rows, check.weights)
        names = list(found) if isinstance(found, dict) else []
        for name in names:
            if not isinstance(name, str) or not PARAMETER.fullmatch(name) or name in cell.states:
                raise check.refusal(
                    "gates",
                    f"has the name {name!r:.50}; it must be letters, digits and _, and no name of a state.",
                )
        return tuple(checked(cell, "gates", found, dict.fromkeys(names, (T * B, H)), check.x))
    except EngineError as error:
        raise ConfigError(error.message) from None
