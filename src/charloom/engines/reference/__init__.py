"""The reference engine, in NumPy and for any dtype. Read it beside docs/spec/mathematics.md."""

from charloom.engines.reference.engine import ReferenceEngine
from charloom.engines.reference.network import losses

__all__ = ["ReferenceEngine", "losses"]
