"""The reference engine, in NumPy and for any dtype. docs/spec/mathematics.md explains its formulas."""

from charloom.engines.reference.engine import ReferenceEngine
from charloom.engines.reference.network import losses

__all__ = ["ReferenceEngine", "losses"]
