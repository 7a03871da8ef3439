"""Writes nested containers of parameters as Python, and the places of the gradients in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from charloom.diagnosis.forms.nested_parameters import NestedHolder, NestedSource
from charloom.diagnosis.forms.parameter_paths import Step

TAKEN: Final = ("params", "x", "y", "h0", "c0", "K", "H", "np", "net", "model", "U", "W", "b")


def container_name(root: str) -> str:
    """Return the wrapper's variable for a container that is an argument."""
    return f"{root}_" if root in TAKEN else root


def nested_lines(holder: NestedHolder, values: Mapping[str, str]) -> list[str]:
    """Return the lines that make the containers; `values` are the expressions of the parameters."""
    lines: list[str] = []
    for root in holder.roots:
        items = {path.steps: values[n] for n, path in holder.places.items() if path.root == root}
        items |= {path.steps: v for path, v in holder.fills.items() if path.root == root}
        if root.startswith("net."):
            target = root
        else:
            target = root.replace("self.", "model.", 1) if "." in root else container_name(root)
        if any(step.kind == "piece" for steps in items for step in steps):
            lines += flat_lines(target, items)
        else:
            lines += indented(f"{target} = ", text_of(items))
    return lines


def flat_lines(target: str, items: Mapping[tuple[Step, ...], str]) -> list[str]:
    """Return the lines that put the parameters one after another into a vector."""
    return [
        "pieces = [  # in the order of the vector",
        *(f"    {value}," for value in items.values()),
        "]",
        f"{target} = np.concatenate([np.ravel(piece) for piece in pieces])",
        "ends = np.cumsum([piece.size for piece in pieces])[:-1]",
    ]


def text_of(items: Mapping[tuple[Step, ...], str]) -> Any:
    """Return nested lists of lines: a text for a value, otherwise the opening, the items and the closing."""
    if () in items:
        return items[()]
    groups: dict[Step, dict[tuple[Step, ...], str]] = {}
    for steps, value in items.items():
        groups.setdefault(steps[0], {})[steps[1:]] = value
    kinds = {step.kind for step in groups}
    if kinds == {"index"}:
        size = max(step.key for step in groups) + 1
        inner = [text_of(groups.get(Step("index", n), {(): "None"})) for n in range(size)]
        return ("[", [("", one) for one in inner], "]")
    if kinds == {"attribute"}:
        given = [(f"{step.key}=", text_of(one)) for step, one in groups.items()]
        return ("types.SimpleNamespace(", given, ")")
    given = [(f'"{step.key}": ', text_of(one)) for step, one in groups.items()]
    return ("{", given, "}")


def indented(head: str, text: Any, depth: int = 0, end: str = "") -> list[str]:
    """Return the lines of a nested text behind `head`."""
    space = "    " * depth
    if isinstance(text, str):
        return [f"{space}{head}{text}{end}"]
    opening, items, closing = text
    lines = [f"{space}{head}{opening}"]
    for name, inner in items:
        lines += indented(name, inner, depth + 1, ",")
    return [*lines, f"{space}{closing}{end}"]


def nested_gradient(source: NestedSource, results: Sequence[str], instance: str, key: str) -> str:
    """Return the expression for the gradient of the parameter `key`."""
    item, steps = source.places[key]
    base = results[int(item)] if item.isdigit() else item
    if instance and base.startswith(f"{instance}."):
        base = f"model.{base.split('.', 1)[1]}"
    if source.pieces:
        return f"np.split(np.ravel({base}), ends)[{steps}].reshape(pieces[{steps}].shape)"
    return f"{base}{steps}"
