"""Lets code that asks PyTorch or JAX for float32 compute in float64.

Whether a gradient is right does not depend on the precision. In float64, rounding hides no mistake and
looks like none, and exp does not underflow in the doctor's strongest trials. It changes the libraries in
this process for good, so only the process that judges a file calls it.
"""

import importlib
from typing import Any

from charloom.diagnosis.forms.file_contents import Contents
from charloom.diagnosis.forms.torch_compiler import without_compiler


def compute_in_double(contents: Contents) -> None:
    """Let the libraries that a file imports compute in float64 wherever it asks for float32."""
    if contents.imports("torch") and (torch := imported("torch")) is not None:
        torch.set_default_dtype(torch.float64)
        torch.float32 = torch.float = torch.float64
        torch.Tensor.float = torch.Tensor.double
        torch.FloatTensor = torch.DoubleTensor
        torch.nn.Module.float = torch.nn.Module.double
        without_compiler()
    if contents.imports("jax") and imported("jax") is not None:
        jax, jnp = imported("jax"), imported("jax.numpy")
        jax.config.update("jax_enable_x64", True)
        # A program is compiled for every shape, and called once or twice.
        jax.config.update("jax_disable_most_optimizations", True)
        jnp.float32 = jnp.float64


def imported(name: str) -> Any:
    """Return an imported module; None if it is not installed or fails."""
    try:
        return importlib.import_module(name)
    except Exception:
        return None
