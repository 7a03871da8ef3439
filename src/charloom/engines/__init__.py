"""Engines by name. Each keeps the contract of `base`; none imports another."""

from functools import cache

from charloom.engines.base import Engine, Plan, Sampler, Trace
from charloom.errors import MissingPartError

__all__ = ["Engine", "Plan", "Sampler", "Trace", "native_problem", "open_engine"]


@cache
def native_problem() -> str | None:
    """Why the native engine cannot run here, or None if it can."""
    try:
        import charloom._native  # noqa: F401
    except ImportError as error:
        return f"the native engine was not built at install ({error})"
    return None


def open_engine(name: str = "auto", threads: int = 1) -> Engine:
    """The engine of that name; `auto` is native where it was built, else reference.

    Raises:
        MissingPartError: `native` was asked for by name and is not there.
    """
    problem = native_problem() if name in ("auto", "native") else None
    if name == "native" and problem is not None:
        raise MissingPartError(
            f"{problem}; install a C++20 compiler and reinstall charloom, or use --engine reference."
        )
    if name == "reference" or problem is not None:
        from charloom.engines.reference import ReferenceEngine

        return ReferenceEngine()
    from charloom.engines.native import NativeEngine

    return NativeEngine(threads)
