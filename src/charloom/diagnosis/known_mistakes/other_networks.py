"""Lists the differences between the function's network and ours that any cell can have."""

from typing import Final

from charloom.diagnosis.known_mistakes.equations import CELLS_SECTION, FORWARD, NETWORK_SECTION
from charloom.diagnosis.known_mistakes.mistake import ALL, ANY, GRU, LSTM, Mistake
from charloom.diagnosis.known_mistakes.variants import variants_in

OTHER_NETWORKS: Final = (
    Mistake(
        "initial-state-ignored",
        "the initial state is ignored: the window starts from zeros",
        "a_1 = U x_1 + b",
        FORWARD,
        CELLS_SECTION,
        "start the window from the given h_0 (LSTM: and the given cell).",
        variants={"": ALL, "h": LSTM, "cell": LSTM},
        consistent=ANY,
    ),
    Mistake(
        "state-not-carried",
        "every step starts from h_0: the state is not passed on to the next step",
        "a_t = W h_0 + U x_t + b for every t",
        FORWARD,
        CELLS_SECTION,
        "start each step from the state of the previous step; in PyTorch, check batch_first: the module "
        "may read the time axis as the batch axis.",
        consistent=ANY,
    ),
    Mistake(
        "activation-differs",
        "an activation function is not tanh",
        "σ(a), max(a, 0) or a, where the specification has tanh(a)",
        "h_t = tanh(a_t)",
        CELLS_SECTION,
        "use tanh in the forward pass, and its derivative in the backward pass.",
        variants=variants_in("sigmoid", "relu", "identity"),
        consistent=ANY,
    ),
    Mistake(
        "hidden-bias-left-out",
        "the hidden bias b is not used",
        "a_t = W h_{t-1} + U x_t",
        FORWARD,
        CELLS_SECTION,
        "add b at every step.",
        variants={**variants_in("", "forward alone"), "d too": GRU},
        consistent="|d too",
    ),
    Mistake(
        "hidden-bias-twice",
        "the hidden bias b is added twice",
        "a_t = W h_{t-1} + U x_t + b + b",
        FORWARD,
        CELLS_SECTION,
        "add b only once: to W h or to U x, not to both.",
        variants=variants_in("forward alone", "gradient too"),
        consistent="gradient too",
    ),
    Mistake(
        "second-bias-left-out",
        "the second bias d is not used",
        "q_t = W_n h_{t-1}",
        "q_t = W_n h_{t-1} + d",
        CELLS_SECTION,
        "add d to W_n h_{t-1} before you multiply by r_t, and return its gradient.",
        cells=GRU,
        variants=variants_in("", cells=GRU),
        consistent=ANY,
    ),
    Mistake(
        "output-bias-left-out",
        "the output bias c is not used",
        "o_t = V h_t",
        "o_t  = V h_t + c",
        NETWORK_SECTION,
        "add c at every step.",
        variants=variants_in("", "forward alone"),
        consistent="",
    ),
)
