"""Opens engines by name. Each engine implements the interface in `base`, and no engine imports another."""

from functools import cache
from importlib.util import find_spec

from charloom.config import ENGINES, Config, require_one_of
from charloom.engines.base import Engine, Plan, Sampler, Trace
from charloom.errors import MissingPartError
from charloom.messages import argument, pip_command
from charloom.registered_cells import RegisteredCell, is_registered, refuse_registered

__all__ = [
    "Engine",
    "Plan",
    "Sampler",
    "Trace",
    "check_cell",
    "engine_for",
    "native_problem",
    "open_engine",
    "torch_problem",
]


@cache
def native_problem() -> str | None:
    """Return a sentence saying why the native engine cannot run here; None if it can run."""
    try:
        from charloom import _native
    except ImportError as error:
        if find_spec("charloom._native") is None:
            return "the native engine was not built when charloom was installed"
        return f"the native engine cannot be loaded: {error}"
    if not _native.instruction_sets():
        return (
            "the native engine needs at least an x86-64-v2 processor (SSE 4.2), and this is not one"
        )
    return None


def engine_for(config: Config) -> Engine:
    """Return the engine that `config` names, after checking that this engine can train with `config`.

    Raises:
        EngineError: the engine cannot train with these settings.
        ConfigError, MissingPartError: as in `open_engine`.
    """
    engine = open_engine(config.engine, config.threads, config.device, config.cell)
    engine.require(config)
    return engine


def open_engine(
    name: str = "auto", threads: int = 1, device: str = "auto", cell: str = "rnn"
) -> Engine:
    """Return the engine with the name `name`, with up to `threads` threads.

    "auto" means "native" if the native engine can run here, otherwise "reference"; for a registered `cell` it means
    "torch". Only the engine torch has a `device`, a value of the setting of that name.

    Raises:
        ConfigError: there is no engine of this name.
        EngineError: there is no such device, or this engine cannot compute `cell`.
        MissingPartError: `name` is "native" or "torch", and that engine cannot run here.
    """
    require_one_of("engine", name, ENGINES)
    if name == "torch" or (name == "auto" and is_registered(cell)):
        return open_torch_engine(threads, device)
    refuse_registered(cell, name)
    problem = native_problem() if name in ("auto", "native") else None
    if name == "native" and problem is not None:
        raise MissingPartError(
            f"{problem}. Use {argument('engine', 'reference')}. If the native engine was not "
            f"built, you can also install a C++20 compiler and reinstall charloom."
        )
    if name == "reference" or problem is not None:
        from charloom.engines.reference import ReferenceEngine

        return ReferenceEngine()
    from charloom.engines.native import NativeEngine

    return NativeEngine(threads)


def torch_problem() -> str | None:
    """Return a sentence saying why the torch engine cannot run here; None if it can run. Does not import PyTorch."""
    if find_spec("torch") is None:
        return "the engine torch needs PyTorch, which is not installed"
    return None


def check_cell(cell: RegisteredCell) -> tuple[str, ...]:
    """Check the code of a registered cell, and return the names of its gates.

    Raises:
        ConfigError: the cell breaks a rule; the message says which.
        MissingPartError: PyTorch is not installed.
    """
    problem = torch_problem()
    if problem is not None:
        raise MissingPartError(
            f"a registered cell needs PyTorch, which is not installed; install it {pip_command('torch')}"
        )
    from charloom.engines.torch.cell_check import check_cell as check

    return check(cell)


def open_torch_engine(threads: int, device: str) -> Engine:
    """Return the torch engine. It counts n-grams with the native engine, or with the reference engine.

    Raises:
        MissingPartError: PyTorch is not installed, or cannot be loaded.
        EngineError: there is no such device.
    """
    problem = torch_problem()
    if problem is not None:
        raise MissingPartError(f"{problem}; install it {pip_command('torch')}")
    try:
        from charloom.engines.torch import TorchEngine
    except (ImportError, OSError) as error:
        raise MissingPartError(
            f"the engine torch needs PyTorch, which cannot be loaded: {error}. Uninstall it, and install it "
            f"again {pip_command('torch')}"
        ) from None
    return TorchEngine(threads, device, open_engine("auto", threads).count_ngrams)
