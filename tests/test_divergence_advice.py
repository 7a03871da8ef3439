"""When training diverges, the advice names the term that diverges, and following it helps."""

import re

import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.config import Config
from charloom.engines import open_engine
from charloom.errors import DivergedError
from charloom.messages import for_command_line, for_python
from charloom.model import new_learner
from charloom.store import read_control
from charloom.training import Ended, Warned, train_in_memory
from charloom.training.divergence_advice import advice
from small_runs import ENGINES, create, small_config, small_corpus

# Settings with which training really diverges, what is named, and the settings that are advised.
DIVERGES = {
    "weight decay of AdamW": (
        {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 1e6},
        "Learning rate × weight decay is 1250,",
        {"weight_decay": 0.01},
    ),
    "weight decay of SGD": (
        {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 1e6, "momentum": 0.0},
        "Learning rate × weight decay is 12500,",
        {"weight_decay": 0.01},
    ),
}


def trained(config):
    """Train without a disk; the items."""
    corpus = small_corpus()
    learner = new_learner(config, corpus.vocabulary)
    return list(train_in_memory(learner, corpus.ids, open_engine(config.engine)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", DIVERGES)
def test_the_diverging_term_is_named_and_the_advice_helps(name, engine):
    settings, named, advised = DIVERGES[name]
    with pytest.raises(DivergedError) as caught:
        trained(small_config(engine=engine, **settings))
    message = str(caught.value)
    assert named in message
    assert "lower learning_rate" not in message
    assert dict(re.findall(r"(\w+)=([\d.e-]+[\d])", message)) == {
        k: f"{v}" for k, v in advised.items()
    }
    items = trained(small_config(engine=engine, **{**settings, **advised}))
    assert isinstance(items[-1], Ended)
    assert not any(isinstance(item, Warned) for item in items)


def advice_for(update=7, factor=1.0, **settings):
    """Return the advice for a learner after `update` updates, in Python's spelling."""
    learner = new_learner(Config(hidden_size=2, **settings), small_corpus().vocabulary)
    learner.update, learner.learning_rate_factor = update, factor
    return for_python(advice(learner))


def test_a_lower_rate_is_advised_where_nothing_else_stands_out():
    assert (
        advice_for(learning_rate=0.3, factor=0.5)
        == "Train again with a lower learning_rate than 0.15."
    )


def test_weight_decay_is_named_only_where_it_makes_the_weights_grow():
    adamw = {"optimizer": "adamw", "learning_rate": 0.1}
    assert "weight decay" not in advice_for(weight_decay=19.9, **adamw)
    assert "weight_decay=0.01" in advice_for(weight_decay=20.1, **adamw)
    sgd = {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9}
    assert "weight decay" not in advice_for(weight_decay=37.9, **sgd)
    assert "weight_decay=0.01" in advice_for(weight_decay=38.1, **sgd)
    # Adam divides what the decay adds by its own size.
    assert "weight decay" not in advice_for(weight_decay=1e9, optimizer="adam")


def test_clipping_that_is_off_is_named():
    text = advice_for(clip=0.0, learning_rate=0.3)
    assert text == (
        "The gradient is not clipped. Train again with clip=5.0, or with a lower learning_rate than 0.3."
    )


def test_a_high_momentum_is_named():
    text = advice_for(optimizer="sgd", momentum=0.999)
    assert "a step is up to 1,000 times as large" in text
    assert "momentum=0.9, or with a lower learning_rate than 0.1" in text
    assert "momentum" not in advice_for(optimizer="adam", momentum=0.999)


def test_a_learning_rate_that_a_command_raised_is_named():
    text = advice_for(factor=50.0)
    assert "A command made the learning rate 50 times as high" in text
    assert text.endswith(
        'Undo this while the run trains: charloom.control(RUN, "run", learning_rate_factor=1).'
    )


def test_the_advised_command_that_resets_the_learning_rate_is_valid(tmp_path):
    writer, learner, _ = create(tmp_path / "run")
    learner.update, learner.learning_rate_factor = 7, 50.0
    *_, command = for_command_line(advice(learner)).split("Undo this while the run trains: ")
    words = command.removesuffix(".").replace("RUN", str(tmp_path / "run")).split()
    with writer:
        done = CliRunner().invoke(app, words[1:])
    assert (words[0], done.exit_code) == ("charloom", 0), done.output
    assert read_control(tmp_path / "run").learning_rate_factor == 1.0


def test_before_the_first_update_no_rate_is_to_blame():
    text = advice_for(update=0, init="uniform", clip=0.0)
    assert "another init, or from another model" in text
    assert "learning_rate" not in text


def test_initial_weights_that_are_too_large_are_named_and_the_advice_helps():
    (warned,) = (item for item in trained(small_config(sigma=1e4)) if isinstance(item, Warned))
    assert "the loss is far too high" in warned.message
    assert "sigma is 10000. Train again with sigma=0.01." in warned.message
    assert not any(isinstance(item, Warned) for item in trained(small_config(sigma=0.01)))


def test_a_run_gets_the_same_advice_in_its_error(tmp_path):
    with pytest.raises(DivergedError) as caught:
        charloom.train(
            string="the cat sat on the mat. " * 50,
            run=tmp_path / "run",
            recipe="classic",
            optimizer="adamw",
            weight_decay=1e9,
            updates=20,
        )
    assert "weight_decay=0.01" in str(caught.value)
    assert "--" not in str(caught.value)
