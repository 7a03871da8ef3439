"""Calls a module of PyTorch that has nn.RNN, nn.LSTM or nn.GRU and a linear output layer.

It copies the doctor's weights into the module and returns the gradients that autograd computes. It
runs in the same process as the user's code. No other module of the doctor uses PyTorch.
"""

import inspect
import itertools
import operator
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis.argument_roles import H_NAMES, K_NAMES, role_of
from charloom.diagnosis.call_forms import is_right_loss
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.loss_and_gradients import plain
from charloom.diagnosis.outcome import CHANGES, Call
from charloom.diagnosis.problem import Array, Arrays, Problem
from charloom.diagnosis.trials import FREE, Fixed
from charloom.errors import DoctorError
from charloom.formatting import number_of
from charloom.messages import argument

CELL_OF_CLASS: Final = {cell.torch_class: cell.name for cell in CELLS.values()}
PROBE: Final = (4, 7)  # sizes H and K of a module that is made only to inspect its layers


class ModuleCaller:
    """Calls a module of PyTorch, or the modules that a user's function or class makes.

    Attributes:
        modules: the modules that were made; the keys are their sizes H and K.
        shapes: descriptions of the shapes in which x, y and h0 are passed, such as "ids (T,)".
        double: whether the weights are float64; otherwise float32.
        cell: "rnn", "lstm" or "gru", the cell of the module.
        sizes: what the module fixes of the trials: H and K if it works only with these.
    """

    def __init__(self, function: Any, options: Options) -> None:
        try:
            import torch
        except ImportError:
            raise DoctorError(
                f"PyTorch is not installed, and {argument('form', 'torch')} needs it. Install it "
                "with: pip install torch."
            ) from None
        self.torch = torch
        self.function, self.options = function, options
        self.modules: dict[tuple[int, int], Any] = {}
        self.shapes: tuple[str, str, str] = ("", "", "")
        self.double = True
        probe = self.make(*PROBE)
        rnn, out = parts_of(torch, probe)
        self.cell: str = CELL_OF_CLASS[type(rnn).__name__]
        if options.cell and options.cell != self.cell:
            raise DoctorError(
                f"{argument('cell')} is {options.cell}, but the module has an "
                f"nn.{type(rnn).__name__}. Set {argument('cell', self.cell)}, or leave it out."
            )
        if options.gates:
            raise DoctorError(
                f"{argument('gates')} is only for functions on arrays: in a module, the order of the "
                "gates is that of PyTorch. Leave it out."
            )
        sizes = rnn.hidden_size, out.out_features
        fixed = isinstance(function, torch.nn.Module) or sizes != PROBE
        self.sizes = Fixed(*sizes) if fixed else FREE

    def make(self, H: int, K: int) -> Any:
        """Return a module with H hidden units and K characters.

        If the user gave a module, return this module, whose sizes cannot be chosen.

        Raises:
            DoctorError: the user's function that makes a module needs an argument that is not a
                usual name of a size, or it does not return a module.
        """
        if isinstance(self.function, self.torch.nn.Module):
            return self.function
        parameters = [
            p
            for p in inspect.signature(self.function).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.KEYWORD_ONLY)
        ]
        given: dict[str, int] = {}
        for p in parameters:
            if plain(p.name) in K_NAMES:
                given[p.name] = K
            elif plain(p.name) in H_NAMES:
                given[p.name] = H
            elif p.default is p.empty:
                raise DoctorError(
                    f"making the module needs the argument {p.name}, which is not vocabulary_size or "
                    "hidden_size. Write a function make(vocabulary_size, hidden_size) that returns "
                    "the module, and give the doctor the name make."
                )
        module = self.function(**given)
        if not isinstance(module, self.torch.nn.Module):
            raise DoctorError(
                f"the call returned a {type(module).__name__}; it must return a module of PyTorch."
            )
        return module

    def module(self, problem: Problem) -> Any:
        """Return a module of the same sizes as `problem`, with the parameters of `problem` copied into it."""
        torch = self.torch
        sizes = (len(problem.state["h"]), len(problem.parameters["c"]))
        if sizes not in self.modules:
            module = self.make(*sizes)
            self.modules[sizes] = module.double() if self.double else module.float()
        module = self.modules[sizes]
        rnn, out = parts_of(torch, module)
        require_one_hot_input(torch, module, rnn, sizes[1])
        with torch.no_grad():
            for name, tensor in weights_of(rnn, out).items():
                if name in problem.parameters:
                    tensor.copy_(torch.as_tensor(problem.parameters[name]))
            if rnn.bias:
                rnn.bias_hh_l0.zero_()
                if (cell := CELLS[self.cell]).second_bias:
                    rows = cell.rows(cell.second_bias, len(problem.state["h"]))
                    rnn.bias_hh_l0[rows] = torch.as_tensor(problem.parameters["d"])
            for layer in module.modules():
                if isinstance(layer, torch.nn.Embedding):
                    if layer.weight.shape[0] != layer.weight.shape[1]:
                        raise DoctorError(
                            f"the module has an embedding of shape {tuple(layer.weight.shape)}, but "
                            "the classic network reads one-hot characters. Remove the embedding "
                            "for the doctor."
                        )
                    layer.weight.copy_(torch.eye(len(layer.weight)))
        return module

    def find_call_form(self, problem: Problem, loss: float) -> str:
        """Find the shapes of x, y and h0 with which the module returns `loss`; return them in words.

        If no shapes give this loss, use the first shapes that the module accepts. `loss` is the
        right loss of `problem`.

        Raises:
            Exception: the module accepts no shapes. The error is the module's error for the first
                shapes that were tried.
        """
        first_error: Exception | None = None
        running: tuple[tuple[str, str, str], bool] | None = None
        for double in (True, False):
            self.double = double
            self.modules.clear()
            for shapes in self.shapes_to_try(problem):
                self.shapes = shapes
                try:
                    result = self.call(problem)
                except DoctorError:
                    raise
                except Exception as error:
                    first_error = first_error or error
                    continue
                assert result.loss is not None
                if is_right_loss(result.loss, loss, len(problem.x)):
                    return self.in_words()
                running = running or (shapes, double)
            if running is not None:
                break
        if running is None:
            assert first_error is not None
            raise first_error
        self.shapes, self.double = running
        self.modules.clear()
        return self.in_words()

    def in_words(self) -> str:
        """Return a description of the shapes of x, y and h0 and of the precision of the weights."""
        x, y, h0 = self.shapes
        return f"x as {x}, y as {y}, h0 as {h0}; {'float64' if self.double else 'float32'} weights"

    def shapes_to_try(self, problem: Problem) -> Iterator[tuple[str, str, str]]:
        """Yield triples that describe the shapes of x, y and h0 to try, the likeliest first."""
        rnn, _ = parts_of(self.torch, self.module(problem))
        batched = (
            ("ids (1, T)", "one-hot (1, T, K)")
            if rnn.batch_first
            else ("ids (T, 1)", "one-hot (T, 1, K)")
        )
        for x, y in (
            ("ids (T,)", "ids (T,)"),
            (batched[0], batched[0]),
            (batched[1], "ids (T,)"),
            (batched[1], batched[0]),
            ("one-hot (T, K)", "ids (T,)"),
        ):
            for h0 in ("(1, 1, H)", "(1, H)"):
                yield x, y, h0

    def with_function(self, function: Any) -> "ModuleCaller":
        """Return a caller of `function` that uses the same shapes and the same precision as this one."""
        caller = ModuleCaller(function, self.options)
        caller.shapes, caller.double = self.shapes, self.double
        return caller

    def call(self, problem: Problem) -> Call:
        """Call the module on `problem`; return its loss and the gradients that autograd computes."""
        torch = self.torch
        module = self.module(problem)
        rnn, out = parts_of(torch, module)
        x, y, h0 = self.inputs(problem)
        before = [t.clone() for t in (x, y, *h0)]
        state = h0[0] if len(h0) == 1 else tuple(h0)
        loss = self.loss_of(module(*self.arguments(module, x, y, state)), problem)
        weights = weights_of(rnn, out)
        gradients, single = self.gradients(problem, loss, rnn, weights)
        changed = self.changed(problem, before, [x, y, *h0], weights)
        after = weights if "parameters-changed" in changed else {}
        return Call(
            float(loss.detach()),
            gradients,
            changed,
            {name: t.detach().cpu().numpy().astype(np.float64) for name, t in after.items()},
            single,
        )

    def gradients(
        self, problem: Problem, loss: Any, rnn: Any, weights: dict[str, Any]
    ) -> tuple[Arrays, bool]:
        """Return the gradients of `loss`, converted to float64, and whether autograd returned only float32.

        `rnn` is the recurrent layer. `weights` has the tensors of the parameters by charloom's
        names.
        """
        tensors = [*weights.values(), *([rnn.bias_hh_l0] if rnn.bias else [])]
        computed = self.torch.autograd.grad(loss, tensors, allow_unused=True)
        arrays = [
            np.zeros(tuple(t.shape)) if g is None else g.detach().cpu().numpy()
            for t, g in zip(tensors, computed, strict=True)
        ]
        gradients: Arrays = dict(zip(weights, arrays, strict=False))
        H = len(problem.state["h"])
        if (cell := CELLS[self.cell]).second_bias:
            rows = cell.rows(cell.second_bias, H)
            gradients["d"] = arrays[-1][rows] if rnn.bias else np.zeros(H)
        # If the module has no biases, their gradients are zero.
        gradients.setdefault("b", np.zeros(len(problem.parameters["b"])))
        gradients.setdefault("c", np.zeros(len(problem.parameters["c"])))
        names = [name for name in ("U", "W", "b", "d", "V", "c") if name in gradients]
        single = all(array.dtype == np.float32 for array in arrays)
        return {name: gradients[name].astype(np.float64) for name in names}, single

    def changed(self, problem: Problem, before: Any, after: Any, weights: Any) -> tuple[str, ...]:
        """Return a mistake's id for each kind of argument that the call changed, such as "inputs-changed".

        `before` has x, y and the states as they were before the call, and `after` has them as they
        are after it. `weights` are the tensors of the parameters after the call.
        """
        same = [self.torch.equal(b, a) for b, a in zip(before, after, strict=True)]
        kind = np.float64 if self.double else np.float32
        kept = all(
            np.array_equal(t.detach().cpu().numpy(), problem.parameters[name].astype(kind))
            for name, t in weights.items()
        )
        unchanged = (all(same[2:]), kept, all(same[:2]))
        return tuple(itertools.compress(CHANGES, map(operator.not_, unchanged)))

    def inputs(self, problem: Problem) -> tuple[Any, Any, list[Any]]:
        """Return x, y and the list of initial states as tensors, in the shapes that `self.shapes` describes."""
        torch = self.torch
        kind = torch.float64 if self.double else torch.float32
        K = len(problem.parameters["c"])

        def shaped(ids: Array, shape: str) -> Any:
            tensor = torch.as_tensor(ids, dtype=torch.long)
            if shape.startswith("one-hot"):
                tensor = torch.nn.functional.one_hot(tensor, K).to(kind)
            if "(1, T" in shape:
                return tensor[None]
            return tensor[:, None] if "(T, 1" in shape else tensor

        x, y, h0 = self.shapes
        states = [torch.as_tensor(s, dtype=kind)[None].clone() for s in problem.state.values()]
        if h0 == "(1, 1, H)":
            states = [s[None] for s in states]
        return shaped(problem.x, x), shaped(problem.y, y), states

    def arguments(self, module: Any, x: Any, y: Any, state: Any) -> list[Any]:
        """Return the arguments for the module's method forward, in the order of its parameters.

        The roles in `options.arguments`, or else the names of the parameters, show which argument
        is `x`, `y` or `state`.

        Raises:
            DoctorError: the name of a required parameter does not show its role.
        """
        parameters = [
            p
            for p in inspect.signature(module.forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        given = {"x": x, "y": y, "h0": state}
        if self.options.arguments:
            return [given[role] for role in self.options.arguments if role in given]
        roles = [role_of(p.name) for p in parameters]
        if "x" not in roles and roles and roles[0] in (None, "params"):
            roles[0] = "x"
        chosen = []
        for p, role in zip(parameters, roles, strict=True):
            if role in given:
                chosen.append(given[role])
            elif p.default is p.empty:
                raise DoctorError(
                    f"forward takes the argument {p.name}, and its name does not show whether it is "
                    "x, y or h0. Give the roles in the order of the arguments, for example "
                    f"{argument('arguments', ['x', 'h0'])}."
                )
            else:
                break
        return chosen

    def loss_of(self, returned: Any, problem: Problem) -> Any:
        """Return the loss that the module returned, or the cross-entropy of the logits that it returned.

        Raises:
            DoctorError: the module returned neither a loss nor logits.
        """
        torch = self.torch
        items = list(returned) if isinstance(returned, (tuple, list)) else [returned]
        tensors = [item for item in items if isinstance(item, torch.Tensor)]
        for tensor in tensors:
            if tensor.numel() == 1:
                return tensor.reshape(())
        K, T = len(problem.parameters["c"]), len(problem.x)
        for tensor in tensors:
            if tensor.shape[-1:] == (K,) and tensor.numel() == T * K:
                target = torch.as_tensor(problem.y, dtype=torch.long)
                total = torch.nn.functional.cross_entropy(
                    tensor.reshape(T, K), target, reduction="sum"
                )
                return total / T if self.options.reduction == "mean" else total
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors) or "no tensor"
        raise DoctorError(
            f"the module returned {shapes} for a window of {T} steps and {K} characters; it must "
            "return the loss (one number), or logits whose last axis has the length K."
        )


def parts_of(torch: Any, module: Any) -> tuple[Any, Any]:
    """Return the recurrent layer of `module`, and its linear output layer.

    Raises:
        DoctorError: the module does not have exactly one recurrent layer and one linear layer, or
            the recurrent layer has several layers, two directions or a projection.
    """
    layers = [
        m for m in module.modules() if isinstance(m, (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU))
    ]
    outs = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    if len(layers) != 1 or len(outs) != 1:
        raise DoctorError(
            f"the module has {number_of(len(layers), 'recurrent layer')} (nn.RNN, nn.LSTM, nn.GRU) "
            f"and {number_of(len(outs), 'linear layer')}; it must have one of each."
        )
    rnn, out = layers[0], outs[0]
    if rnn.num_layers != 1 or rnn.bidirectional or getattr(rnn, "proj_size", 0):
        raise DoctorError(
            "the recurrent layer has several layers, two directions or a projection; make it with "
            "num_layers=1, bidirectional=False and proj_size=0."
        )
    return rnn, out


def require_one_hot_input(torch: Any, module: Any, rnn: Any, K: int) -> None:
    """Raise DoctorError unless `rnn`, the recurrent layer of `module`, reads vectors of length K."""
    if rnn.input_size == K:
        return
    widths = [m.embedding_dim for m in module.modules() if isinstance(m, torch.nn.Embedding)]
    embedding = " from an nn.Embedding" if rnn.input_size in widths else ""
    raise DoctorError(
        f"the nn.{type(rnn).__name__} reads vectors of {rnn.input_size} numbers{embedding}, but "
        f"there are {K} characters. It must read one-hot vectors of size K = {K}, as the classic "
        "network does. For the doctor, use functional.one_hot(x, K) instead of the embedding, and K "
        "as the input size of the layer."
    )


def weights_of(rnn: Any, out: Any) -> dict[str, Any]:
    """Return a dict that maps charloom's names of parameters to the module's tensors.

    `rnn` is the recurrent layer, and `out` the linear output layer. Biases that a layer lacks are
    left out, and so is the second bias d of a GRU.
    """
    weights = {"U": rnn.weight_ih_l0, "W": rnn.weight_hh_l0}
    if rnn.bias:
        weights["b"] = rnn.bias_ih_l0
    weights["V"] = out.weight
    if out.bias is not None:
        weights["c"] = out.bias
    return weights
