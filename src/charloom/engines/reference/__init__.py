"""The reference engine: NumPy, any dtype, written to be read beside docs/spec/mathematics.md."""

from charloom.engines.reference.engine import ReferenceEngine
from charloom.engines.reference.network import losses

__all__ = ["ReferenceEngine", "losses"]
