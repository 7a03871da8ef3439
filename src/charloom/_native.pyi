"""Types of the compiled module; its arrays are checked in charloom.engines.native."""

from types import ModuleType

float32: ModuleType
float64: ModuleType

class Workspace: ...

def instruction_sets() -> list[str]: ...
def multiply_adds(isa: str, dtype: str, operations: float) -> None: ...
