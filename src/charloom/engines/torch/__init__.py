"""The engine on PyTorch, on a processor or a GPU. Only `open_engine` imports it, and only if a user asks for it."""

from charloom.engines.torch.torch_engine import TorchEngine

__all__ = ["TorchEngine"]
