"""A model is exported as one HTML file, which contains the model and nothing from other places."""

import base64
import json
import re
import zlib
from hashlib import sha256

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from charloom.api import weight_rounding
from charloom.api.model import Model
from charloom.api.weight_rounding import choose_weights
from charloom.cli import app
from charloom.cli.exchange_commands import change_in_bits
from charloom.errors import ConfigError, DivergedError
from charloom.export_html import browser_model
from charloom.export_html.joined_modules import one_script
from ngram_models import ngram_model
from small_runs import TEXT, train

MOST_BESIDES = 100_000  # bytes of a file without the weights
SCRIPT = r'<script type="{}"[^>]*>(.*?)</script>'


@pytest.fixture(scope="module")
def model():
    """Return a GRU with n-grams, in float32."""
    return ngram_model(cell="gru", dtype="float32", hidden_size=12, sigma=0.3)


def parts(path):
    """Return the page, the description of the model and its tensors."""
    page = path.read_text(encoding="utf-8")
    about = json.loads(re.search(SCRIPT.format("application/json"), page)[1])
    data = zlib.decompress(base64.b64decode(re.search(SCRIPT.format("text/plain"), page)[1]))
    types = {"U8": "u1", "U16": "<u2", "I32": "<i4", "F16": "<f2", "F32": "<f4"}
    tensors, offset = {}, 0
    for name, kind, size in about["tensors"]:
        dtype = np.dtype(types[kind])
        tensors[name] = np.frombuffer(data, dtype, size, offset)
        offset += size * dtype.itemsize
    assert offset == len(data)
    return page, about, tensors


def run(*words):
    """Return the result of the command `export`."""
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_a_file_has_at_most_100_kb_besides_the_weights(model, tmp_path):
    path = model.to_html(tmp_path / "m.html")
    page, _, _ = parts(path)
    data = re.search(SCRIPT.format("text/plain"), page)[1]
    assert path.stat().st_size - len(data) < MOST_BESIDES


def test_a_file_names_no_other_place_and_allows_only_its_own_script_and_style(model, tmp_path):
    page, _, _ = parts(model.to_html(tmp_path / "m.html"))
    assert not re.search(
        r"https?:|//\w+\.|@import|\bfetch\(|XMLHttpRequest|\beval\b|innerHTML", page
    )
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("img-src") == "data:"
    for name, tag in (("script-src", r'script type="module"'), ("style-src", "style")):
        source = re.search(rf"<{tag}>(.*?)</", page, re.DOTALL)[1]
        digest = base64.b64encode(sha256(source.encode()).digest()).decode()
        assert rules.pop(name) == f"'sha256-{digest}'"
    assert rules.pop("require-trusted-types-for") == "'script'"
    assert set(rules.values()) == {"'none'"}
    assert set(rules) == {"default-src", "base-uri", "form-action"}


def test_a_file_says_about_the_text_only_what_the_user_says(model, tmp_path):
    path = tmp_path / "m.html"
    assert model.corpus.name == "cat"
    assert 'class="about"></p>' in model.to_html(path).read_text(encoding="utf-8")
    for secret in (model.corpus.fingerprint, "epochs", "learning_rate", TEXT[:40]):
        assert secret not in path.read_text(encoding="utf-8")
    page = charloom.export(model, path, to="html", about="<cats> & dogs").read_text("utf-8")
    assert 'class="about">It was trained on &lt;cats&gt; &amp; dogs.</p>' in page


@pytest.mark.parametrize("weights", ["float16", "float32"])
def test_the_tensors_are_those_of_the_model_in_the_type_of_the_weights(model, weights, tmp_path):
    _, about, tensors = parts(model.to_html(tmp_path / "m.html", weights=weights))
    rounded = browser_model(model.learner, weights)
    for name, parameter in rounded.parameters.items():
        assert tensors[name].dtype == weights
        assert np.array_equal(tensors[name].astype(np.float32), parameter.ravel())
        assert np.array_equal(parameter, model.parameters[name].astype(weights))
    assert np.array_equal(tensors["ngrams/factors"], rounded.ngrams.factors[0])
    assert about["vocabulary"] == [ord(character) for character in model.vocabulary.characters]
    assert (about["cell"], about["layers"], about["hidden_size"]) == ("gru", 1, 12)


def test_factors_of_n_grams_stay_above_zero(model):
    ngrams = model.learner.ngrams
    tiny = ngrams.__class__(**{**vars(ngrams), "factors": np.full_like(ngrams.factors, 1e-12)})
    learner = model.learner.__class__(**{**vars(model.learner), "ngrams": tiny})
    assert browser_model(learner, "float16").ngrams.factors.min() == 2.0**-24


def planted(model, factor):
    """Return a copy of a model with larger weights of the output, so that rounding changes its loss more."""
    parameters = {name: array.copy() for name, array in model.parameters.items()}
    parameters["V"] *= factor
    learner = model.learner.__class__(**{**vars(model.learner), "parameters": parameters})
    return Model(learner, model.engine, corpus=model.corpus)


def type_of_weights(model, path):
    """Return the type of the weights that an exported file has if the user does not choose it."""
    _, about, _ = parts(model.to_html(path))
    return next(kind for name, kind, _ in about["tensors"] if name == "V")


@pytest.mark.parametrize("factor", [1, 3_000, 1e6])  # the last one is too large for float16
def test_weights_are_float16_if_this_hardly_changes_the_loss_on_the_text(model, factor, tmp_path):
    other = planted(model, factor)
    change = choose_weights(other, other.learner, other.engine).change
    assert (abs(change) < 0.001) == (factor == 1)
    assert type_of_weights(other, tmp_path / "m.html") == ("F16" if factor == 1 else "F32")


def test_a_model_without_its_text_is_measured_on_a_text_that_it_writes(
    model, tmp_path, monkeypatch
):
    alone = charloom.load(model.save(tmp_path / "m.safetensors"))
    assert type_of_weights(alone, tmp_path / "m.html") == "F16"
    assert type_of_weights(planted(alone, 1e6), tmp_path / "m.html") == "F32"

    def badly_rounded(learner, weights):
        rounded = browser_model(learner, weights)
        rounded.parameters["c"][0] += 0.3
        return rounded

    monkeypatch.setattr(weight_rounding, "browser_model", badly_rounded)
    chosen = choose_weights(alone, alone.learner, alone.engine)
    assert chosen.weights == "float32"
    assert 0.001 < chosen.change < 0.1


def test_a_weight_that_is_too_large_for_float16_is_refused(model, tmp_path):
    path = tmp_path / "m.html"
    with pytest.raises(ConfigError, match='too large for float16; give weights="float32"'):
        planted(model, 1e6).to_html(path, weights="float16")
    double = ngram_model(cell="gru")
    double.parameters["V"][...] = 1e300
    with pytest.raises(DivergedError, match="too large for float32"):
        double.to_html(path)
    double.parameters["V"][...] = np.nan
    with pytest.raises(DivergedError, match="V is no longer finite"):
        double.to_html(path)
    assert not path.exists()


def test_options_that_a_framework_does_not_have_are_refused(model, tmp_path):
    for options, message in (
        ({"weights": "float16"}, 'weights is only for to="html"; leave it out'),
        ({"about": "cats"}, 'about is only for to="hub" and to="html"; leave it out'),
        ({"weights": "int8", "to": "html"}, "weights is 'int8'; it must be one of auto, float16"),
        ({"about": 3, "to": "html"}, "about is 3; it must be a str"),
    ):
        for source in (model, tmp_path / "missing"):
            with pytest.raises(ConfigError, match=message):
                charloom.export(source, tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_the_network_alone_has_no_n_grams(model, tmp_path):
    _, about, tensors = parts(model.to_html(tmp_path / "m.html", network_alone=True))
    assert about["ngram_order"] == 0
    assert not any("ngram" in name for name in tensors)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (0.00123, "+0.00123"), (-0.00002, "-0.00002"), (0.00001, "+0.00001"),
        (-0.000002, "less than 0.00001"), (0.0000099, "less than 0.00001"), (0.0, "less than 0.00001"),
    ],
)  # fmt: skip
def test_a_change_of_the_loss_that_rounds_to_zero_is_called_small(change, words):
    assert change_in_bits(change) == words


def test_the_command_writes_the_file_and_says_how_large_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(tmp_path / "book", cell="gru", ngram_order=3, validation=0.2)
    done = run("book", "--to", "html")
    assert done.exit_code == 0, done.output
    size = (tmp_path / "book.html").stat().st_size
    assert re.fullmatch(
        rf"book\.html: {size / 1e6:.2f} MB, weights in float16; float16 changes the loss by "
        r"([+-]0\.000\d\d|less than 0\.00001) bits per character\n",
        done.stdout,
    )
    assert "gru, 1 × 8 hidden units" in done.stderr
    assert run("book", "--to", "html").exit_code == 2
    done = run("book", "--to", "html", "--force", "--json", "--weights", "float32", "--about", "x")
    result = json.loads(done.stdout)
    page, _, tensors = parts(tmp_path / "book.html")
    assert result["bytes"] == (tmp_path / "book.html").stat().st_size
    assert (result["file"], result["weights"]) == ("book.html", "float32")
    assert result["float16_loss_change_bits"] is None
    assert tensors["V"].dtype == np.float32
    assert "<title>book</title>" in page
    done = run("book", "--about", "x")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--about is only for --to hub and --to html; leave it out" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        'import * as dom from "./dom.js";',
        'export { a } from "./a.js";',
        "export default 3;",
        "export let a = 3;",
    ],
)
def test_a_planted_import_or_export_of_another_form_is_refused(line, tmp_path):
    (tmp_path / "page.js").write_text(f"{line}\n")
    with pytest.raises(ValueError, match=r"page\.js has"):
        one_script(tmp_path / "page.js")


def test_modules_are_joined_once_each_after_those_that_they_import(tmp_path):
    (tmp_path / "a.js").write_text("export const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport function b() {}\n')
    (tmp_path / "c.js").write_text(
        'import { b } from "./b.js";\nimport { a } from "./a.js";\nb(a);\n'
    )
    assert one_script(tmp_path / "c.js") == "const a = 1;\n\nfunction b() {}\n\nb(a);\n"
