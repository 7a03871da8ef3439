"""`charloom evaluate --dynamic` reports the loss of a model that learns while it reads, beside the usual loss."""

import json

import pytest

import charloom
from command_line import charloom_

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 20


def test_the_command_and_python_report_a_dynamic_evaluation_separately(tmp_path):
    model = charloom.train(string=TEXT, recipe="classic", hidden_size=8, updates=20)
    path, text = tmp_path / "model.safetensors", tmp_path / "text.txt"
    model.save(path)
    text.write_text(TEXT[::-1][:400], encoding="utf-8")
    static, dynamic = (model.evaluate(str(text), dynamic=each).nats for each in (False, True))
    assert dynamic < static
    shown = charloom_("evaluate", path, text, "--dynamic").stdout
    assert f"nats:       {static:.4f} per character" in shown
    assert f"dynamic:    {dynamic:.4f} nats or" in shown
    given = ("evaluate", path, text, "--dynamic", "--dynamic-rate", "0.01", "--json")
    result = json.loads(charloom_(*given).stdout)
    assert result["nats"] == pytest.approx(static, rel=1e-6)
    assert result["dynamic"]["nats"] < dynamic
