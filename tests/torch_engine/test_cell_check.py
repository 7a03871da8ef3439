"""A cell that breaks a rule is refused when it is registered, with a message that names the rule."""

import re

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

import charloom
from charloom.errors import ConfigError
from charloom.registered_cells import cell_named, cell_names, remove_cell
from registered_test_cells import EXAMPLE, mingru, two_states


class Plain:
    """A correct cell: h_t = tanh(W x + h_{t-1})."""

    def parameters(self, input_size, hidden_size):
        return {"weight_ih": (hidden_size, input_size)}

    def step(self, x, state, parameters):
        return {"h": torch.tanh(x @ parameters["weight_ih"].T + state["h"])}


calls = []


def kept(self, x, state, parameters):
    calls.append(len(calls))
    return {"h": torch.tanh(x @ parameters["weight_ih"].T + state["h"] + len(calls))}


def in_place(self, x, state, parameters):
    state["h"].mul_(0.5)
    return Plain.step(self, x, state, parameters)


def of_batch(self, x, state, parameters):
    h = x @ parameters["weight_ih"].T + state["h"]
    return {"h": h - h.mean(0)}


def h_of(compute):
    """Return a step whose h is `compute(x, h, W)`."""
    return lambda self, x, state, parameters: {"h": compute(x, state["h"], parameters["weight_ih"])}


def fails(self, x, state, parameters):
    raise IndexError("no\nsuch gate")


WRONG_STEPS = {
    "shape": (h_of(lambda x, h, W: (x @ W.T + h)[:, :4]), "returned the shape (3, 4) for h; it must be a tensor of shape (3, 8)"),
    "nan": (h_of(lambda x, h, W: (x @ W.T + h).sqrt()), "returned a NaN or infinite h"),
    "zero state": (h_of(lambda x, h, W: (x @ W.T) * h.norm(dim=1, keepdim=True) / h.norm(dim=1, keepdim=True)), "returned a NaN or infinite h"),
    "random": (h_of(lambda x, h, W: x @ W.T + torch.rand_like(h)), "returned other numbers when it was called again"),
    "kept": (kept, "it must be pure"),
    "in place": (in_place, "changed the state h in place"),
    "batch": (of_batch, "returned other numbers for a stream alone"),
    "dtype": (h_of(lambda x, h, W: x @ W.T + h * torch.ones(8, dtype=torch.float64)), "returned h in torch.float64"),
    "detached": (h_of(lambda x, h, W: x @ W.T.detach() + h), "has a wrong gradient with respect to weight_ih"),
    "detached state": (h_of(lambda x, h, W: x @ W.T + h.detach()), "has a wrong gradient with respect to"),
    "numpy": (h_of(lambda x, h, W: h + torch.from_numpy((x @ W.T).numpy())), "step of the cell planted raised RuntimeError"),
    "no dict": (lambda self, x, state, parameters: state["h"], "returned Tensor; it must return a dict"),
    "other names": (lambda self, x, state, parameters: {"c": state["h"]}, "returned the names c"),
    "no tensor": (lambda self, x, state, parameters: {"h": 3.0}, "returned float for h"),
    "fails": (fails, "step of the cell planted raised IndexError (test_cell_check.py, line"),
}  # fmt: skip


def refusal(definition):
    """Return the message with which a definition is refused."""
    with pytest.raises(ConfigError) as caught:
        charloom.register_cell("planted", definition)
    assert "planted" not in cell_names()
    return str(caught.value)


def planted(**changes):
    """Return the class `Plain` with other methods or attributes."""
    return type("Planted", (Plain,), {**changes, "__module__": __name__})


def test_correct_cells_are_registered():
    charloom.register_cell("planted", Plain)
    remove_cell("planted")
    with mingru() as one, two_states() as other:
        assert cell_named(one).gates == ("z", "n")
        assert cell_named(one).title == "a minGRU"
        assert cell_named(other).states == ("h", "memory")


@pytest.mark.parametrize("mistake", WRONG_STEPS)
def test_a_wrong_step_is_refused(mistake):
    step, message = WRONG_STEPS[mistake]
    assert message in refusal(planted(step=step))


def test_a_layer_that_differs_from_the_steps_is_refused():
    def layer(self, x, state, parameters):
        return {"h": torch.tanh(x @ parameters["weight_ih"].T + state["h"])}

    assert "layer of the cell planted returned another h than step does" in refusal(
        planted(layer=layer)
    )


def test_a_layer_with_a_wrong_gradient_is_refused():
    def layer(self, x, state, parameters):
        h, found = state["h"], []
        for each in x:
            h = torch.tanh(each @ parameters["weight_ih"].T + h.detach())
            found.append(h)
        return {"h": torch.stack(found)}

    assert "layer of the cell planted has a wrong gradient" in refusal(planted(layer=layer))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"h": None}, "gates of the cell planted has the name 'h'"),
        ({"a b": None}, "gates of the cell planted has the name 'a b'"),
        ({"z": None}, "returned NoneType for z"),
        ([], "gates of the cell planted returned list"),
    ],
)
def test_wrong_gates_are_refused(found, message):
    assert message in refusal(planted(gates=lambda *_: found))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": ("c", "h")}, "with h first"),
        ({"states": "h"}, "with h first"),
        ({"states": ("h", "h")}, "different names"),
        ({"states": ("h", "recent")}, "different names"),
        ({"title": 3}, "title of the cell planted is 3"),
        ({"step": None}, "has no method step"),
        ({"__init__": lambda self, size: None}, "cannot be made without arguments"),
    ],
)
def test_wrong_attributes_are_refused(changes, message):
    assert message in refusal(planted(**changes))


def test_the_check_leaves_the_random_numbers_of_pytorch_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    charloom.register_cell("planted", Plain)
    remove_cell("planted")
    assert torch.equal(torch.rand(4), expected)


def test_a_class_can_be_decorated_and_stays_a_class():
    decorated = charloom.register_cell("planted")(Plain)
    remove_cell("planted")
    assert decorated is Plain


def test_a_planted_mistake_in_the_example_is_caught():
    source = EXAMPLE.read_text(encoding="utf-8")
    for right, wrong in ((" + a[reach:] * b", " + a[:-reach] * b"), ("reach *= 2", "reach *= 4")):
        assert right in source
        changed = source.replace(right, wrong).replace('"mingru"', '"planted"')
        with pytest.raises(
            ConfigError, match=re.escape("layer of the cell planted returned another h")
        ):
            exec(compile(changed, "planted", "exec"), {"__name__": "planted"})
