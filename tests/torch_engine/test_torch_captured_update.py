"""A captured update does each update once. Stand-ins replace CUDA's streams and graphs: no GPU is needed."""

from contextlib import contextmanager, nullcontext

import pytest

from compared_engines import TORCH

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

import torch

from charloom.engines.torch.captured_update import WARM_UPS, CapturedUpdate


class Stream:
    def wait_stream(self, other):
        pass


class Device:
    """Records what runs. Within a capture nothing runs; a replay runs what was captured."""

    def __init__(self, monkeypatch, refuses=False):
        self.done, self.replays, self.capturing, self.refuses = 0, 0, False, refuses
        monkeypatch.setattr(torch.cuda, "Stream", Stream)
        monkeypatch.setattr(torch.cuda, "current_stream", Stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(torch.cuda, "graph", self.graph)

    @contextmanager
    def graph(self, graph):
        assert graph is self
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False

    def update(self):
        if self.capturing and self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.done += not self.capturing

    def replay(self):
        self.replays += 1
        self.update()


@pytest.mark.parametrize("refuses", [False, True])
def test_each_call_does_one_update_also_if_the_capture_is_refused(monkeypatch, refuses):
    device = Device(monkeypatch, refuses)
    captured = CapturedUpdate(device.update)
    for call in range(1, 10):
        captured()
        assert device.done == call
    assert device.replays == (0 if refuses else 9 - WARM_UPS)
