"""Names a recognised form for the user, and says how its network differs from the one that is checked."""

from charloom.cell_table import CELLS
from charloom.diagnosis.diagnosis_result import IN_THIS_TEXT
from charloom.diagnosis.forms.autograd_forms import AutogradPlan
from charloom.diagnosis.forms.name_roles import TRUNCATION, role_of_argument, short
from charloom.diagnosis.forms.planned_calls import TEMPORAL, Plan
from charloom.diagnosis.forms.step_functions import StepPlan
from charloom.diagnosis.forms.torch_modules import ModulePlan
from charloom.formatting import listing

MOST_NAMES = 4  # largest number of tensors that a note names
COUNTS = {3: "three", 4: "four", 6: "six", 8: "eight"}


def title_of(plan: Plan) -> str:
    """Return what was recognised, such as "the class RNN (loss, backward), parameters in self.params"."""
    calls = ", ".join(call.facts.name for call in plan.calls)
    return f"{kind_of_form(plan)} ({calls}), {plan.holder.in_words()}"


def kind_of_form(plan: Plan) -> str:
    """Return the kind of a form in some words, such as "layers that take (N, T, D)"."""
    layout = plan.holder.layout
    network = network_words(plan)
    if isinstance(plan, AutogradPlan):
        library = {"torch": "PyTorch", "jax": "JAX"}[plan.library]
        return f"{network} whose gradients {library} computes"
    if plan.owner is not None:
        return f"the class {plan.owner.name}, {network}"
    if isinstance(plan, StepPlan):
        return f"functions of a single step of {network}"
    if (
        plan.holder.kind == "globals"
        and layout.cell == "rnn"
        and {"Wxh", "Whh"} <= set(layout.parts)
    ):
        return "the hundred-line character RNN"
    if plan.has("upstream"):
        return f"a layer's forward and backward pass, {network}"
    if len(plan.calls) > 1:
        return f"a forward and a backward pass, {network}"
    return f"a function, {network}"


def network_words(plan: Plan) -> str:
    """Return the cell in words, with the number of its matrices if each gate has its own."""
    layout = plan.holder.layout
    cell = CELLS[layout.cell]
    if not layout.has_gates:
        return cell.title
    gates = len(cell.gates)
    count = gates if layout.is_joined else 2 * gates
    return f"{cell.title} of {COUNTS.get(count, count)} matrices"


def notes_of(plan: Plan) -> list[str]:
    """Return sentences about what the wrapper does, and about what the user's functions do not take."""
    layout = plan.holder.layout
    notes = []
    if plan.temporal:
        notes.append(
            f"the output layer, the softmax and the loss are those of your functions {listing(sorted(TEMPORAL))}."
        )
    elif plan.loss in ("ours", "outputs"):
        what = "the output layer, the softmax and the loss" if plan.loss == "ours" else "the loss"
        notes.append(f"the wrapper computes {what}, because your functions do not.")
    missing = [role for role in states_of(plan) if not takes_state(plan, role)]
    if missing:
        notes.append(
            f"your code takes no initial {listing(missing)}, so it starts from zero there in every window."
        )
    left_out = [
        name
        for name in ("b", "c")
        if name not in layout.blocks and (name == "b" or layout.has_output)
    ]
    if left_out:
        notes.append(
            f"your network has no {listing(left_out)}; the doctor takes its gradient as zero."
        )
    if name := truncation(plan):
        notes.append(
            f"your class truncates backpropagation by {name}; it was set to the length of the window, so "
            "that the whole gradient is checked."
        )
    if name := names_note(plan):
        notes.append(name)
    if plan.layers:
        notes.append("one layer is checked: the number of layers was set to 1.")
    return notes


def names_note(plan: Plan) -> str:
    """Return the sentence that says what the doctor's names stand for in the user's code; "" if they are the same."""
    layout = plan.holder.layout
    blocks = ("V", "c") if layout.has_gates else ("U", "W", "b", "V", "c")
    named = [(block, layout.name_of(block)) for block in blocks]
    words = [f"{block} is your {name}" for block, name in named if name and name != block]
    gradient = ""
    if not layout.has_gates and (name := layout.name_of("W")) and name != "W":
        gradient = f"; dW is your d{name}"
    for gate in CELLS[layout.cell].gates:
        name = next((n for n, part in layout.parts.items() if part.gate == gate), "")
        if name and gate not in short(name):
            words.append(f"{gate} is the gate of your {name}")
    if CELLS[layout.cell].states[1:]:
        words.append("s is the state of the cells, so that ds is what many call dc")
    return f"{IN_THIS_TEXT}{listing(words)}{gradient}." if words else ""


def truncation(plan: Plan) -> str:
    """Return the attribute of the instance that truncates the backward pass, such as bptt_truncate; or ""."""
    attributes = plan.owner.stored_attributes() if plan.owner is not None else ()
    return next((name for name in attributes if short(name) in TRUNCATION), "")


def notes_of_module(plan: ModulePlan) -> list[str]:
    """Return sentences about what the wrapper does with a module, and how the module differs."""
    notes = []
    if plan.has_layer("Dropout") or getattr(plan.layer, "dropout", False):
        notes.append("dropout is off (eval mode), because it makes every call differ.")
    if plan.has_layer("Embedding"):
        notes.append(
            "the embedding is set to the identity, so that U is the input weight of the recurrent layer."
        )
    if plan.making.one_layer:
        notes.append("the number of layers was set to 1 where the class takes one.")
    if plan.states > 1 and plan.layer.bidirectional:
        notes.append(
            "the layer is bidirectional, so it reads the characters that it should predict; only its "
            "forward direction is checked."
        )
    others = plan.others
    if others:
        notes.append(
            f"these parameters have no counterpart in the classic network and keep their first values: "
            f"{', '.join(others[:MOST_NAMES])}{', …' if others[MOST_NAMES:] else ''}."
        )
    return notes


def states_of(plan: Plan) -> list[str]:
    """Return the roles of the initial states of the plan's cell: h0, and c0 for an LSTM."""
    return ["h0", "c0"] if CELLS[plan.holder.layout.cell].states[1:] else ["h0"]


def takes_state(plan: Plan, role: str) -> bool:
    """Return True if an argument or an attribute of the instance takes an initial state."""
    if plan.has(role) or role in plan.states_set:
        return True
    attributes = plan.owner.stored_attributes() if plan.owner is not None else ()
    return any(
        role_of_argument(name) == role and name not in plan.holder.layout.parts and name != "H"
        for name in attributes
    )
