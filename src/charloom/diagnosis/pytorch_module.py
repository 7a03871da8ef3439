"""Calls a module of PyTorch that has nn.RNN, nn.LSTM or nn.GRU and a linear output.

Our weights are put into it, and what autograd makes of its loss is what is judged. It runs beside
the user's code, and is the only part that knows PyTorch.
"""

import inspect
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from charloom.diagnosis.call_forms import H_NAMES, K_NAMES, Options, agrees, role_of
from charloom.diagnosis.faulty_network import Array, Arrays, Problem
from charloom.diagnosis.runner import Call
from charloom.errors import DoctorError
from charloom.messages import argument

CELLS: Final = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}


class ModuleCaller:
    """A module, or what makes one, with the way to call it."""

    def __init__(self, function: Any, options: Options) -> None:
        try:
            import torch
        except ImportError:
            raise DoctorError(
                f"PyTorch is not installed here, and {argument('form', 'torch')} needs it: "
                f"pip install torch."
            ) from None
        self.torch = torch
        self.function, self.options = function, options
        self.made: dict[tuple[int, int], Any] = {}
        self.way: tuple[str, str, str] = ("", "", "")
        self.double = True
        probe = function if isinstance(function, torch.nn.Module) else self.make(4, 7)
        rnn, out = parts_of(torch, probe)
        self.cell = CELLS[type(rnn).__name__]
        if options.cell and options.cell != self.cell:
            raise DoctorError(
                f"you said {options.cell}; the module has an nn.{type(rnn).__name__}. Say "
                f"{argument('cell', self.cell)}, or leave it out."
            )
        if options.gates:
            raise DoctorError(
                f"{argument('gates')} is for functions on arrays; the order of a module's gates is "
                f"PyTorch's own, and the doctor knows it. Leave it out."
            )
        fixed = isinstance(function, torch.nn.Module) or (rnn.hidden_size, out.out_features) != (
            4,
            7,
        )
        self.sizes: tuple[int | None, int | None] = (
            (rnn.hidden_size, out.out_features) if fixed else (None, None)
        )

    def make(self, H: int, K: int) -> Any:
        """A module of these sizes, by what its maker calls them; of its own where it takes none."""
        if isinstance(self.function, self.torch.nn.Module):
            return self.function
        parameters = [
            p
            for p in inspect.signature(self.function).parameters.values()
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY, p.KEYWORD_ONLY)
        ]
        given: dict[str, int] = {}
        for p in parameters:
            plain = p.name.lower().replace("_", "")
            if plain in K_NAMES:
                given[p.name] = K
            elif plain in H_NAMES:
                given[p.name] = H
            elif p.default is p.empty:
                raise DoctorError(
                    f"the module is made with {p.name}, which is none of vocabulary_size and "
                    "hidden_size; write a function make(vocabulary_size, hidden_size) that returns "
                    "it, and name that."
                )
        made = self.function(**given)
        if not isinstance(made, self.torch.nn.Module):
            raise DoctorError(f"it makes a {type(made).__name__}, not a module of PyTorch.")
        return made

    def module(self, problem: Problem) -> Any:
        """The module of a problem's sizes with its parameters put into it."""
        torch = self.torch
        sizes = (len(problem.state["h"]), len(problem.parameters["c"]))
        if sizes not in self.made:
            module = self.make(*sizes)
            self.made[sizes] = module.double() if self.double else module.float()
        module = self.made[sizes]
        rnn, out = parts_of(torch, module)
        if rnn.input_size != sizes[1]:
            widths = [
                m.embedding_dim for m in module.modules() if isinstance(m, torch.nn.Embedding)
            ]
            raise DoctorError(
                f"the nn.{type(rnn).__name__} reads vectors of {rnn.input_size} numbers"
                f"{' from an nn.Embedding' if rnn.input_size in widths else ''}, and there are "
                f"{sizes[1]} characters; it must read one-hot vectors of size K = {sizes[1]}, as the "
                "classic network does. For the doctor write functional.one_hot(x, K) in place of the "
                "embedding, and K for the layer's input size."
            )
        with torch.no_grad():
            for ours, tensor in weights_of(rnn, out).items():
                if ours in problem.parameters:
                    tensor.copy_(torch.as_tensor(problem.parameters[ours]))
            if rnn.bias:
                rnn.bias_hh_l0.zero_()
                if self.cell == "gru":
                    rnn.bias_hh_l0[-len(problem.state["h"]) :] = torch.as_tensor(
                        problem.parameters["d"]
                    )
            for layer in module.modules():
                if isinstance(layer, torch.nn.Embedding):
                    if layer.weight.shape[0] != layer.weight.shape[1]:
                        raise DoctorError(
                            f"the module has an embedding of shape {tuple(layer.weight.shape)}; the "
                            "classic network reads one-hot characters. Leave it out for the doctor."
                        )
                    layer.weight.copy_(torch.eye(len(layer.weight)))
        return module

    def settle(self, problem: Problem, loss: float) -> str:
        """Try ways of calling until one runs and gives the right loss; else the first that runs."""
        first_error: Exception | None = None
        running: tuple[tuple[str, str, str], bool] | None = None
        for double in (True, False):
            self.double = double
            self.made.clear()
            for way in self.ways(problem):
                self.way = way
                try:
                    found = self.call(problem)
                except DoctorError:
                    raise
                except Exception as error:
                    first_error = first_error or error
                    continue
                assert found.loss is not None
                if agrees(found.loss, loss, len(problem.x)):
                    return self.told()
                running = running or (way, double)
            if running is not None:
                break
        if running is None:
            assert first_error is not None
            raise first_error
        self.way, self.double = running
        self.made.clear()
        return self.told()

    def told(self) -> str:
        """The way of calling in words."""
        x, y, h0 = self.way
        return f"x as {x}, y as {y}, h0 as {h0}; {'float64' if self.double else 'float32'} weights"

    def ways(self, problem: Problem) -> Iterator[tuple[str, str, str]]:
        """How x, y and h0 are shaped, the likeliest first."""
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

    def renewed(self, function: Any) -> "ModuleCaller":
        """The same way of calling with another module."""
        made = ModuleCaller(function, self.options)
        made.way, made.double = self.way, self.double
        return made

    def call(self, problem: Problem) -> Call:
        """One call: the module's loss, and its gradients by autograd."""
        torch = self.torch
        module = self.module(problem)
        rnn, out = parts_of(torch, module)
        x, y, h0 = self.inputs(problem)
        before = [t.clone() for t in (x, y, *h0)]
        state = h0[0] if len(h0) == 1 else tuple(h0)
        returned = module(*self.arguments(module, x, y, state))
        loss = self.loss_of(returned, problem)
        weights = weights_of(rnn, out)
        tensors = [*weights.values(), *([rnn.bias_hh_l0] if rnn.bias else [])]
        found = torch.autograd.grad(loss, tensors, allow_unused=True)
        arrays = [
            np.zeros(tuple(t.shape)) if g is None else g.detach().cpu().numpy()
            for t, g in zip(tensors, found, strict=True)
        ]
        gradients: Arrays = dict(zip(weights, arrays, strict=False))
        H, rows = len(problem.state["h"]), len(problem.parameters["b"])
        if self.cell == "gru":
            gradients["d"] = arrays[-1][-H:] if rnn.bias else np.zeros(H)
        gradients.setdefault("b", np.zeros(rows))
        gradients.setdefault("c", np.zeros(len(problem.parameters["c"])))
        single = all(array.dtype == np.float32 for array in arrays)
        names = ("U", "W", "b", "d", "V", "c")
        changed = self.changed(problem, before, [x, y, *h0], weights)
        return Call(
            float(loss.detach()),
            {name: gradients[name].astype(np.float64) for name in names if name in gradients},
            tuple(changed),
            {name: t.detach().cpu().numpy().astype(np.float64) for name, t in weights.items()}
            if "parameters-changed" in changed
            else {},
            single,
        )

    def changed(self, problem: Problem, before: Any, now: Any, weights: Any) -> list[str]:
        """Which of its arguments the call has changed."""
        same = [self.torch.equal(b, n) for b, n in zip(before, now, strict=True)]
        kind = np.float64 if self.double else np.float32
        kept = all(
            np.array_equal(t.detach().cpu().numpy(), problem.parameters[name].astype(kind))
            for name, t in weights.items()
        )
        return [
            name
            for name, fine in (
                ("initial-state-changed", all(same[2:])),
                ("parameters-changed", kept),
                ("inputs-changed", all(same[:2])),
            )
            if not fine
        ]

    def inputs(self, problem: Problem) -> tuple[Any, Any, list[Any]]:
        """x, y and the states as tensors, shaped as the way of calling has them."""
        torch = self.torch
        kind = torch.float64 if self.double else torch.float32
        K = len(problem.parameters["c"])

        def shaped(ids: Array, way: str) -> Any:
            tensor = torch.as_tensor(ids, dtype=torch.long)
            if way.startswith("one-hot"):
                tensor = torch.nn.functional.one_hot(tensor, K).to(kind)
            if "(1, T" in way:
                return tensor[None]
            return tensor[:, None] if "(T, 1" in way else tensor

        x, y, h0 = self.way
        states = [torch.as_tensor(s, dtype=kind)[None].clone() for s in problem.state.values()]
        if h0 == "(1, 1, H)":
            states = [s[None] for s in states]
        return shaped(problem.x, x), shaped(problem.y, y), states

    def arguments(self, module: Any, x: Any, y: Any, state: Any) -> list[Any]:
        """The arguments of forward, by their names."""
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
                    f"forward takes {p.name}, which is none of x, y and h0; say what its arguments "
                    f"are, in order, for example {argument('arguments', ['x', 'h0'])}."
                )
            else:
                break
        return chosen

    def loss_of(self, returned: Any, problem: Problem) -> Any:
        """The loss: what the module returned, or the cross entropy of its logits, summed."""
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
            "return the loss (one number), or logits with K in the last place."
        )


def parts_of(torch: Any, module: Any) -> tuple[Any, Any]:
    """The recurrent layer and the linear output of a module."""
    layers = [
        m for m in module.modules() if isinstance(m, (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU))
    ]
    outs = [m for m in module.modules() if isinstance(m, torch.nn.Linear)]
    if len(layers) != 1 or len(outs) != 1:
        raise DoctorError(
            f"the module has {len(layers)} recurrent layers (nn.RNN, nn.LSTM, nn.GRU) and "
            f"{len(outs)} linear ones; it must have one of each."
        )
    rnn, out = layers[0], outs[0]
    if rnn.num_layers != 1 or rnn.bidirectional or getattr(rnn, "proj_size", 0):
        raise DoctorError(
            "the recurrent layer must have one layer and one direction, and no projection."
        )
    return rnn, out


def weights_of(rnn: Any, out: Any) -> dict[str, Any]:
    """Our parameters' names and the tensors that hold them, where they are there."""
    found = {"U": rnn.weight_ih_l0, "W": rnn.weight_hh_l0}
    if rnn.bias:
        found["b"] = rnn.bias_ih_l0
    found["V"] = out.weight
    if out.bias is not None:
        found["c"] = out.bias
    return found
