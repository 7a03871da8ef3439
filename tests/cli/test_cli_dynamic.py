"""`charloom evaluate --dynamic` reports the loss of a model that learns while it reads, beside the usual loss."""

import inspect
import json

import pytest

import charloom
from charloom import api, config
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
    assert "worse here" not in shown
    harmful = charloom_("evaluate", path, text, "--dynamic", "--dynamic-rate", "1").stdout
    assert "it reads; worse here, so try a --dynamic-rate below 1\n" in harmful
    given = ("evaluate", path, text, "--dynamic", "--dynamic-rate", "0.01", "--json")
    result = json.loads(charloom_(*given).stdout)
    assert result["nats"] == pytest.approx(static, rel=1e-6)
    assert result["dynamic"]["nats"] < dynamic
    assert result["dynamic"]["learning_rate"] == 0.01
    assert "dynamic_rate" not in result
    assert "if the model continues to learn" in str(model.evaluate(str(text), dynamic=True))
    assert "if the model" not in str(model.evaluate(str(text)))


def test_a_rate_without_a_dynamic_evaluation_has_no_effect_and_the_command_says_so(tmp_path):
    model = charloom.train(string=TEXT, recipe="classic", hidden_size=4, updates=2)
    path, text = tmp_path / "model.safetensors", tmp_path / "text.txt"
    model.save(path)
    text.write_text(TEXT[:100], encoding="utf-8")
    said = "charloom: --dynamic-rate has no effect without --dynamic.\n"
    plain = charloom_("evaluate", path, text)
    rate = charloom_("evaluate", path, text, "--dynamic-rate", "0.01")
    assert rate.stderr == said + plain.stderr
    assert rate.stdout == plain.stdout
    assert said not in charloom_("evaluate", path, text, "--dynamic --dynamic-rate 0.01").stderr


def test_the_command_and_python_have_the_same_rate(monkeypatch, tmp_path):
    shown = " ".join(charloom_("evaluate", "--help").stdout.split())
    assert f"the learning rate for --dynamic [default: {config.DYNAMIC_RATE}]" in shown
    rates, honest = [], api.evaluate_part

    def evaluate_part(*given, dynamic_rate=None, **settings):
        rates.append(dynamic_rate)
        return honest(*given, dynamic_rate=dynamic_rate, **settings)

    monkeypatch.setattr(api, "evaluate_part", evaluate_part)
    model = charloom.train(string=TEXT, recipe="classic", hidden_size=4, updates=2)
    path, text = tmp_path / "model.safetensors", tmp_path / "text.txt"
    model.save(path)
    text.write_text(TEXT[:100], encoding="utf-8")
    assert charloom_("evaluate", path, text, "--dynamic").exit_code == 0
    assert rates == [None, config.DYNAMIC_RATE]
    default = inspect.signature(charloom.Model.evaluate).parameters["dynamic_rate"].default
    assert default == config.DYNAMIC_RATE
