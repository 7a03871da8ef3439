"""Opens engines by name. Each keeps the contract of `base`; none imports another."""

from functools import cache
from importlib.util import find_spec

from charloom.config import ENGINES, Config, require_one_of
from charloom.engines.base import Engine, Plan, Sampler, Trace
from charloom.errors import MissingPartError
from charloom.messages import argument

__all__ = ["Engine", "Plan", "Sampler", "Trace", "engine_for", "native_problem", "open_engine"]


@cache
def native_problem() -> str | None:
    """Why the native engine cannot run here, or None if it can."""
    try:
        from charloom import _native
    except ImportError as error:
        if find_spec("charloom._native") is None:
            return "the native engine was not built when charloom was installed"
        return f"the native engine cannot be loaded: {error}"
    if not _native.instruction_sets():
        return (
            "the native engine needs at least an x86-64-v2 processor (SSE 4.2), not to be had here"
        )
    return None


def engine_for(config: Config) -> Engine:
    """The engine that settings name, which can train by them.

    Raises:
        EngineError: it cannot.
        ConfigError, MissingPartError: as `open_engine`.
    """
    engine = open_engine(config.engine, config.threads)
    engine.require(config)
    return engine


def open_engine(name: str = "auto", threads: int = 1) -> Engine:
    """The engine of that name; `auto` is native where it was built, else reference.

    Raises:
        ConfigError: there is no engine of that name.
        MissingPartError: `native` was asked for by name and is not there.
    """
    require_one_of("engine", name, ENGINES)
    problem = native_problem() if name in ("auto", "native") else None
    if name == "native" and problem is not None:
        raise MissingPartError(
            f"{problem}; use {argument('engine', 'reference')}, or where it was not built, install "
            f"a C++20 compiler and reinstall charloom."
        )
    if name == "reference" or problem is not None:
        from charloom.engines.reference import ReferenceEngine

        return ReferenceEngine()
    from charloom.engines.native import NativeEngine

    return NativeEngine(threads)
