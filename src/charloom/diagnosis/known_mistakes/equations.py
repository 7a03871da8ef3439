"""Quotes the equations of docs/spec/mathematics.md that mistakes break, and names the sections that have them."""

from typing import Final

CELLS_SECTION: Final = "The cells"
NETWORK_SECTION: Final = "The network"
CHECK_SECTION: Final = "The gradient check"

DW: Final = "dW += da_t h_{t-1}ᵀ"
DU: Final = "dU += da_t x_tᵀ"
DB: Final = "db += da_t"
DV: Final = "dV   = Σ_t do_t h_tᵀ"
DC: Final = "dc   = Σ_t do_t"
DO: Final = "do_t = (p_t - onehot(y_t)) / B"
DH: Final = "dh_t = (what comes from above: Vᵀ do_t) + (what comes from the layer's step t+1)"
DA: Final = "da_t     = dh_t ∘ (1 - h_t ∘ h_t)"
LOSS: Final = "loss = (1/B) Σ_streams Σ_t -ln p_t[y_t]"
CARRY: Final = "dh_{t-1} = Wᵀ da_t"
FORWARD: Final = "a_t = W h_{t-1} + U x_t + b"
