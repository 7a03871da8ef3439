"""In a notebook, training shows its progress in one output; in a terminal or a script it shows nothing."""

import signal
import sys
import types

import pytest

import charloom
from charloom.api.notebook_display import TrainingDisplay, display_of_notebook
from charloom.api.training_view import TrainingView
from charloom.formatting import bits_per_character
from charloom.training import (
    EndChanged,
    EvaluationProgress,
    FinalEvaluation,
    LearningRateChanged,
    Progress,
    Record,
    Sample,
    Warned,
)
from notebooks import notebook_of, run_notebook
from pages import NO_VALUE, Page
from test_architecture import modules_after
from test_notebook_html import HOSTILE, harms

TEXT = "the cat sat on the mat, and the hat sat on the cat. " * 60
SMALL = {
    "string": TEXT, "hidden_size": 8, "seq_length": 16, "batch_size": 2, "report_every": 10, "ngram_order": 0,
    "updates": 200,
}  # fmt: skip


class Screen:
    """A notebook's output: what the function `display` showed, and each update of it."""

    def __init__(self):
        self.shown = []
        self.displays = 0

    def display(self, snapshot, *, display_id):
        assert display_id is True
        self.displays += 1
        self.update(snapshot)
        return self

    def update(self, snapshot):
        self.shown.append(snapshot)

    @property
    def last(self):
        """The words of the last state of the output."""
        return Page(self.shown[-1]._repr_html_()).words


def fake_ipython(screen, shell):
    """Return the modules IPython and IPython.display of a fake IPython with this shell."""
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython, ipython.version_info = (lambda: shell), (9, 0)  # matplotlib reads it
    display.display = screen.display
    return {"IPython": ipython, "IPython.display": display}


@pytest.fixture
def screen(monkeypatch):
    """Make this process look like the kernel of a notebook, and return its output."""
    found = Screen()
    for name, module in fake_ipython(found, types.SimpleNamespace(kernel=object())).items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


# Where it shows something


def test_a_script_shows_nothing_and_does_not_import_ipython():
    code = f"import charloom; charloom.train(progress=True, **{ {**SMALL, 'updates': 5}!r})"
    assert not [name for name in modules_after(code) if name.split(".")[0] == "IPython"]


def test_a_terminal_with_ipython_shows_nothing(monkeypatch):
    for shell in (None, types.SimpleNamespace(), types.SimpleNamespace(kernel=None)):
        for name, module in fake_ipython(Screen(), shell).items():
            monkeypatch.setitem(sys.modules, name, module)
        assert display_of_notebook() is None
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    assert display_of_notebook() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert display_of_notebook() is None


def test_progress_can_be_turned_off(screen):
    assert display_of_notebook() == screen.display
    charloom.train(**SMALL, progress=False)
    assert screen.shown == []


# What it shows


def test_training_ends_with_its_losses_and_sample_in_one_output(screen, monkeypatch):
    monkeypatch.setattr("charloom.api.notebook_display.DRAW_SECONDS", 0.0)
    monkeypatch.setattr("charloom.api.notebook_display.DRAW_SHARE", float("inf"))
    seen = []
    charloom.train(**SMALL, validation=0.2, judge_every=50, sample_first=100, listener=seen.append)
    assert screen.displays == 1
    assert len(screen.shown) > 3
    assert screen.last.startswith("Finished: update 200 of 200")
    sample = [item for item in seen if isinstance(item, Sample)][-1]
    record = [item for item in seen if isinstance(item, Record)][-1]
    assert f"training {bits_per_character(record.train_nats):.3f}, validation " in screen.last
    assert f"After {sample.update} updates the model writes:" in screen.last
    assert sample.text.strip("\n") in screen.last
    assert harms(screen.shown[-1]._repr_html_()) == []
    assert repr(screen.shown[-1]).startswith("charloom: Finished: update 200 of 200, ")


def test_the_curves_have_at_most_three_hundred_points_and_their_ends():
    view = TrainingView()
    for n in range(1, 2_001):
        view.take(record(n, 2 / n, 3 / n), 0.0)
    html = view.html()
    training, validation = (
        value.split()
        for tag, name, value in Page(html).attributes
        if (tag, name) == ("polyline", "points")
    )
    assert 150 <= len(training) == len(validation) <= 300
    assert training[0].startswith("44.0,")
    assert training[-1].startswith("628.0,")
    assert len(html) < 60_000


def record(update, nats, validation=None):
    """Return a record with these losses."""
    return Record(update, 1.0, 1, 1.0, nats, nats, nats, 0.1, 1.0, 1.0, validation)


def test_numbers_that_are_not_finite_are_not_drawn():
    view = TrainingView()
    for n, nats in enumerate((float("nan"), 1.0, float("inf"), 2.0, 3.0)):
        view.take(record(n, nats, nats), 0.0)
    assert not NO_VALUE.search(view.html())
    assert "inf" not in view.html()


def curves(html):
    """Return the points of each curve, as pairs of strings."""
    return [
        [tuple(point.split(",")) for point in value.split()]
        for tag, name, value in Page(html).attributes
        if (tag, name) == ("polyline", "points")
    ]


def test_a_run_that_went_back_has_each_update_once():
    """A run that diverged goes back to its last checkpoint, which may be before its first record."""
    again, once = TrainingView(), TrainingView()
    for update in (10, 10):
        again.take(record(update, 5.0, 6.0), 0.0)
        assert curves(again.html()) == []
    for update, nats in [(20, 4.0), (30, 3.0), (20, 2.0), (30, 1.0)]:
        again.take(record(update, nats, nats + 1), 0.0)
    for update, nats in [(10, 5.0), (20, 2.0), (30, 1.0)]:
        once.take(record(update, nats, nats + 1), 0.0)
    assert curves(again.html()) == curves(once.html()) != []


def test_the_loss_on_the_whole_validation_part_is_a_number_and_not_a_point_of_the_curve():
    """It is the loss of the best model, which may be earlier than the last evaluation."""
    view = TrainingView()
    for update in (10, 20, 30):
        view.take(record(update, 1.0, update / 10), 0.0)
    before = curves(view.html())
    view.take(FinalEvaluation(10, 4 * 0.6931471805599453, 100), 0.0)
    assert curves(view.html()) == before
    assert "training 1.443, whole validation part 4.000 bits per character" in view.line()


def test_hostile_samples_and_messages_are_escaped():
    view = TrainingView()
    view.take(Sample(3, HOSTILE), 0.0)
    view.take(Warned(3, HOSTILE), 0.0)
    assert harms(view.html()) == []
    assert Page(view.html()).words.count("<b onclick='x'>bold</b>") == 2


def test_events_between_updates_are_shown(tmp_path):
    view = TrainingView()
    view.begin(charloom.train(**{**SMALL, "updates": 1}).config, tmp_path, 0.0)
    view.take(Progress(5, 10, "paused", None, "command"), 0.0)
    assert "Paused: update 5 of 10" in view.html()
    assert "charloom.control(" in view.html()
    view.take(LearningRateChanged(5, 0.5), 0.0)
    view.take(EndChanged(5, 8, 10, 1.0), 0.0)
    view.take(EvaluationProgress(5, 1, 4), 0.0)
    words = Page(view.html()).words
    assert "from update 6 on it is 0.5 × that of the settings" in words
    assert "the run now ends at update 8 instead of 10" in words
    assert "reading all of the validation part, 25%" in words


# When it shows it


def drawings(display, clock, seconds, step):
    """Send an event every `step` seconds of the clock, for some seconds."""
    updates = round(seconds / step)
    with display:
        for n in range(1, updates + 1):
            clock.now += step
            display(Progress(n, updates, smooth_loss=1.0))


def test_it_draws_at_most_twice_a_second(screen):
    clock = Clock()
    drawings(TrainingDisplay(clock=clock), clock, seconds=10, step=0.01)
    assert 15 <= len(screen.shown) <= 21


def test_a_planted_display_that_draws_each_event_is_found(screen, monkeypatch):
    monkeypatch.setattr("charloom.api.notebook_display.DRAW_SECONDS", 0.0)
    clock = Clock()
    drawings(TrainingDisplay(clock=clock), clock, seconds=10, step=0.01)
    assert len(screen.shown) > 900


def test_a_slow_notebook_gets_few_drawings(screen, monkeypatch):
    clock, update = Clock(), screen.update

    def slow(snapshot):
        clock.now += 1
        update(snapshot)

    monkeypatch.setattr(screen, "update", slow)
    drawings(TrainingDisplay(clock=clock), clock, seconds=100, step=0.1)
    assert len(screen.shown) <= 7


def test_work_that_fails_before_the_first_drawing_shows_nothing(screen, tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.api.notebook_display.DRAW_SECONDS", 3_600.0)
    with pytest.raises(charloom.CharloomError):
        charloom.train(tmp_path / "missing.txt")
    assert screen.shown == []


def test_a_display_that_fails_does_not_end_training(screen, monkeypatch):
    def broken(snapshot, *, display_id):
        raise OSError("no notebook")

    monkeypatch.setattr(sys.modules["IPython.display"], "display", broken)
    with pytest.warns(UserWarning, match="progress=False"):
        model = charloom.train(**SMALL)
    assert model.learner.update == 200


# How it ends


def interrupt_at(update):
    """Return a listener that sends SIGINT at an update, as a notebook's interrupt does."""

    def listener(item):
        if isinstance(item, Record) and item.update == update:
            signal.raise_signal(signal.SIGINT)

    return listener


def test_an_interrupted_run_is_kept_and_says_how_to_continue(screen, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        charloom.train(**SMALL, run=run, listener=interrupt_at(20))
    update = charloom.load(run, which="latest").learner.update
    assert update >= 20
    assert f"Interrupted: update {update} of 200" in screen.last
    assert f'charloom.resume("{run}")' in screen.last
    charloom.resume(run)
    assert screen.displays == 2
    assert "Finished: update 200 of 200" in screen.last


def test_an_interrupted_training_in_memory_returns_its_model(screen):
    with pytest.warns(UserWarning, match="interrupted at update"):
        model = charloom.train(**SMALL, listener=interrupt_at(20))
    assert f"Interrupted: update {model.learner.update} of 200" in screen.last


def test_an_error_of_a_listener_ends_the_display(screen, tmp_path):
    def fails(item):
        if isinstance(item, Record) and item.update == 20:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        charloom.train(**SMALL, run=tmp_path / "run", listener=fails)
    assert "Ended by an error (ZeroDivisionError): update" in screen.last


def test_the_classic_experiment_shows_its_checks_and_training(screen, tmp_path):
    charloom.reproduce(
        string=TEXT, run=tmp_path / "run", hidden_size=6, updates=20, engine="reference"
    )
    assert "4 of 4 gradient checks passed." in screen.last
    assert "Finished: update 20 of 20" in screen.last


# A real kernel

TRAIN = f"import charloom, os, signal\nsmall = {SMALL!r}\nmodel = charloom.train(**small)\nmodel"
INTERRUPTED = """
def listener(item):
    if type(item).__name__ == "Record" and item.update == 20:
        os.kill(os.getpid(), signal.SIGINT)
charloom.train(**small, run="run", listener=listener)
"""
RESUMED = "model = charloom.resume('run')\nprint(model.learner.update)"
OFF = "charloom.train(**small, progress=False).score('the cat')"


def test_a_real_kernel_updates_one_output_and_survives_an_interrupt(tmp_path):
    notebook = notebook_of(TRAIN, INTERRUPTED, RESUMED, OFF)
    run_notebook(notebook, tmp_path, allow_errors=True)
    trained, interrupted, resumed, off = (cell.outputs for cell in notebook.cells)
    assert [one.output_type for one in trained] == ["display_data", "execute_result"]
    assert "Finished: update 200 of 200" in trained[0].data["text/html"]
    assert trained[1].data["text/html"].count("Model: a GRU") == 1
    assert trained[1].data["text/plain"].startswith("<charloom.Model: gru")
    assert [one.output_type for one in interrupted] == ["display_data", "error"]
    assert "Interrupted: update" in interrupted[0].data["text/html"]
    assert interrupted[1].ename == "KeyboardInterrupt"
    assert [one.output_type for one in resumed] == ["display_data", "stream"]
    assert resumed[1].text == "200\n"
    (scored,) = off
    assert "bits per character" in scored.data["text/html"]
