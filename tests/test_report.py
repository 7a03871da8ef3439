"""The report: four sections in order, true numbers, untrusted text made harmless, nothing fetched."""

import dataclasses
import math
import re
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from charloom import formatting
from charloom.config import Config
from charloom.errors import CharloomError, ConfigError, NotAModelError
from charloom.gradient_check import GradientCheck, gradcheck
from charloom.recipes import RECIPES
from charloom.report import prose, write_report
from charloom.report.html_page import environment, shown
from charloom.store import canonical_json
from pages import NO_VALUE, Page

TITLES = [
    "Comparing analytical and numerical gradients",
    "Graph of smooth loss function",
    "Evolution of text generation",
    "Generated long text passage",
    "Settings",
]
K, T, PER_EPOCH = 30, 25, 400
CHARACTERS = PER_EPOCH * T + 1


def records(updates: int, every: int = 50) -> list[dict[str, Any]]:
    """Records as training writes them."""
    kept = sorted({1, *range(every, updates + 1, every), *range(PER_EPOCH, updates + 1, PER_EPOCH)})
    return [
        {
            "update": u,
            "epoch": u / PER_EPOCH,
            "characters": u * T,
            "seconds": u / 1000,
            "loss": 80.0,
            "smooth_loss": 40 + 45 * math.exp(-u / 300),
            "train_nats": 2.0,
            "validation_nats": None,
            "learning_rate": 0.1,
            "gradient_norm": 3.0,
            "characters_per_second": 25_000.0,
        }
        for u in kept
        if u <= updates
    ]


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))


def make_run(
    path: Path,
    *,
    metrics: list[dict[str, Any]] | None = None,
    samples: list[dict[str, Any]] | None = None,
    passage: str | None = "A passage.\nOf two lines.",
    checks: list[GradientCheck] | None = None,
    state: str = "finished",
    engine: str = "reference (NumPy)",
    events: list[dict[str, Any]] | None = None,
    text: dict[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A run directory as the store writes it; three epochs unless told otherwise."""
    metrics = records(3 * PER_EPOCH) if metrics is None else metrics
    samples = [{"update": 0, "text": "xqz"}] if samples is None else samples
    config = Config(**{"hidden_size": 10, "epochs": 3, **settings})
    about = {
        "name": "book.txt",
        "sources": ["/books/my book.txt"],
        "characters": CHARACTERS,
        "fingerprint": "ab" * 32,
        "vocabulary_size": K,
        **(text or {}),
    }
    path.mkdir()
    (path / "config.json").write_bytes(
        canonical_json({"format": 1, "config": config.to_dict(), "text": about, "version": "0.0.9"})
    )
    write_lines(path / "metrics.jsonl", metrics)
    write_lines(path / "samples.jsonl", samples)
    started = {"event": "started", "update": 0, "engine": engine, "python": "3.14.0"}
    write_lines(path / "events.jsonl", [started, *(events or [])])
    update = metrics[-1]["update"] if metrics else 0
    status = {"format": 1, "pid": 1, "state": state, "reason": None, "update": update}
    (path / "status.json").write_bytes(
        canonical_json({**status, "updates": 3 * PER_EPOCH, "heartbeat": 0.0})
    )
    if passage is not None:
        (path / "passage.txt").write_bytes(passage.encode("utf-8", "surrogatepass"))
    if checks is not None:
        plain = {"format": 1, "checks": [check.to_dict() for check in checks]}
        (path / "gradcheck.json").write_bytes(canonical_json(plain))
    return path


@pytest.fixture(scope="module")
def checks() -> list[GradientCheck]:
    return [
        gradcheck(hidden_size=H, seq_length=T, vocabulary_size=9, dtype=dtype)
        for dtype in ("float64", "float32")
        for H, T in ((3, 2), (9, 6))
    ]


def report(run: Path) -> tuple[str, Page]:
    html = write_report(run).read_text(encoding="utf-8")
    return html, Page(html)


def test_the_sections_come_in_order_with_their_titles(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks))
    assert page.titles == TITLES


def test_the_report_is_one_file_that_fetches_nothing_and_runs_nothing(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks))
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert not {"script", "link", "iframe", "object", "embed", "img"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "xlink:href"):
            assert value.startswith("#")
    assert len(html) < 500_000


def test_every_id_is_there_once_and_every_link_leads_to_one(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks))
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in page.attributes:
        if name == "href":
            assert value.removeprefix("#") in ids


def test_generated_text_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror='a()'>\"&amp;</pre>{{ 7*7 }}"
    run = make_run(
        tmp_path / "run",
        samples=[{"update": 0, "text": evil}, {"update": 1200, "text": evil}],
        passage=evil,
        text={"name": "<b>book</b>", "sources": ["/x/<i>.txt"]},
        engine="<u>fast</u>",
    )
    html, page = report(run)
    assert "<script" not in html
    assert "<img" not in html
    assert page.samples.count(evil) == 3
    assert not {"b", "i", "u", "script", "img"} & set(page.tags)


def test_names_in_a_gradient_check_are_text_too(tmp_path: Path) -> None:
    check = gradcheck(hidden_size=2, seq_length=2, vocabulary_size=3)
    evil = '"><script>alert(1)</script>$x_{1}$'
    named = dataclasses.replace(check, settings=dataclasses.replace(check.settings, engine=evil))
    html, _ = report(make_run(tmp_path / "run", checks=[named]))
    assert "<script" not in html


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\n\nfirst lines empty\n", "\n\nfirst lines empty\n"),
        ("  two  spaces\tand a tab", "  two  spaces\tand a tab"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("nul \0 escape \x1b[31m bell \a delete \x7f", "nul ␀ escape ␛[31m bell ␇ delete ␡"),
        ("next line \x85", "next line [U+0085]"),
        ("abc \u202e cba", "abc [U+202E] cba"),
        ("half \ud83d", "half \ufffd"),
        ("e\u0301 \U0001f600 שלום", "e\u0301 \U0001f600 שלום"),
    ],
)
def test_white_space_is_kept_and_what_would_disturb_is_shown(
    tmp_path: Path, text: str, seen: str
) -> None:
    run = make_run(tmp_path / "run", samples=[{"update": 0, "text": text}], passage=text)
    _, page = report(run)
    assert page.samples[:2] == [seen, seen]


@given(st.text())
def test_shown_text_has_no_control_characters_and_is_utf8(text: str) -> None:
    found = shown(text)
    found.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", found)


def test_the_pictures_have_a_red_cross_for_each_epoch(tmp_path: Path) -> None:
    html, _ = report(make_run(tmp_path / "run"))
    standalone = (tmp_path / "run" / "loss.svg").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    for svg, gid in (
        (standalone, "epoch-ends"),
        (html, "loss-wide-epoch-ends"),
        (html, "loss-narrow-epoch-ends"),
    ):
        start = svg.index(f'<g id="{gid}">')
        drawn = svg[start : svg.index("</g>", start)]
        assert drawn.count("<use") == 3
    assert "var(--" not in standalone
    assert "The three red crosses mark the ends of epochs" in html


def test_the_figures_are_those_of_the_records(tmp_path: Path) -> None:
    metrics = records(3 * PER_EPOCH)
    metrics[5]["smooth_loss"] = 12.345
    _, page = report(make_run(tmp_path / "run", metrics=metrics))
    assert f"At update 1 the smooth loss is {metrics[0]['smooth_loss']:.2f} nats" in page.words
    assert f"25 ln 30 = {25 * math.log(30):.2f}" in page.words
    assert f"12.35 at update {metrics[5]['update']}" in page.words
    assert f"{12.345 / 25 / math.log(2):.2f} bits per character" in page.words
    assert f"has a smooth loss of {metrics[-1]['smooth_loss']:.2f}" in page.words
    assert "the mean training loss is 2.000 nats, or 2.885 bits" in page.words


def test_each_sample_stands_under_its_update(tmp_path: Path) -> None:
    samples = [{"update": u, "text": f"text of {u}"} for u in (0, 400, 1200)]
    html, page = report(make_run(tmp_path / "run", samples=samples))
    assert page.samples[:3] == ["text of 0", "text of 400", "text of 1200"]
    headings = re.findall(r"<h3>(.*?)</h3>", html)
    assert headings[:3] == ["Before training", "Update 400", "Update 1,200"]
    at_400 = next(r for r in records(1200) if r["update"] == 400)
    assert f"smooth loss {at_400['smooth_loss']:.2f} nats" in page.words


def test_the_passage_names_the_model_with_the_lowest_smooth_loss(tmp_path: Path) -> None:
    metrics = records(3 * PER_EPOCH)
    metrics[7]["smooth_loss"] = 20.0
    end = {
        "event": "finished",
        "time": 1.0,
        "update": metrics[-1]["update"],
    }  # as version 0.1 told it
    run = make_run(tmp_path / "run", metrics=metrics, passage="one two\ntwo", events=[end])
    _, page = report(run)
    assert f"that of update {metrics[7]['update']}, with 20.00 nats per window" in page.words
    assert "3 words, 2 of them different, in two lines" in page.words


def test_the_passage_names_the_model_that_the_end_of_the_run_tells(tmp_path: Path) -> None:
    metrics = records(3 * PER_EPOCH)
    metrics[7]["smooth_loss"] = 20.0
    last = metrics[-1]["update"]
    end = {"event": "finished", "passage": last, "time": 1.0, "update": last}
    _, page = report(make_run(tmp_path / "run", metrics=metrics, passage="one two", events=[end]))
    assert f"written by the latest model: that of update {last:,}" in page.words


def test_the_gradient_table_has_a_line_for_each_parameter_of_each_check(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks))
    table = html[html.index('<table class="errors">') : html.index("</table>")]
    assert re.findall(r'<th scope="row">(\w)</th>', table) == ["b", "c", "U", "W", "V"] * 4
    for check in checks:
        for row in check.rows:
            for error in (row.absolute, row.norm_relative, row.central.elementwise):
                assert formatting.scientific(error) in table
    assert table.count(">passed<") == 4
    assert "is right" in page.words
    assert "rounding" in page.words
    assert "truncation" in page.words
    assert "For larger networks, the gradient can therefore seem to be wrong" in page.words


def test_each_column_of_the_gradient_table_holds_what_its_heading_says(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks))
    four = ("norm-relative", "absolute", "elementwise")
    lines = iter(page.table(*four, "worst entry", *four, "best step"))
    for check in checks:
        (heading,) = next(lines)
        assert heading.startswith(prose.size(check))
        assert heading.endswith(f", engine {check.settings.engine}: passed")
        for row in check.rows:
            against = [
                formatting.scientific(error)
                for errors in (row, row.central)
                for error in (errors.norm_relative, errors.absolute, errors.elementwise)
            ]
            step = formatting.power_of_ten(row.central.step)
            worst, checked = prose.entry(row), f"{row.checked} of {row.total}"
            wanted = [row.parameter, *against[:3], worst, *against[3:], step, checked]
            assert next(lines) == wanted
    assert not list(lines)


def test_each_column_of_the_epochs_holds_what_its_heading_says(tmp_path: Path) -> None:
    metrics = records(1200)
    _, page = report(make_run(tmp_path / "run", metrics=metrics))
    ends = {r["update"]: r["smooth_loss"] for r in metrics if r["update"] % PER_EPOCH == 0}
    assert page.table("epoch", "update", "smooth loss", "bits per character", "time") == [
        [
            str(number),
            f"{update:,}",
            f"{loss:.2f}",
            f"{loss / T / math.log(2):.3f}",
            formatting.duration(update / 1000),
        ]
        for number, (update, loss) in enumerate(ends.items(), 1)
    ]


def test_no_report_shows_what_is_not_a_value(tmp_path: Path, checks: list[GradientCheck]) -> None:
    """Neither that of a whole run, nor one of a run that was judged, nor one that has barely begun."""
    for name, parts in {
        "whole": {"checks": checks, "samples": [{"update": u, "text": "x"} for u in (0, 400)]},
        "judged": {"metrics": judged(), "validation": 0.1},
        "bare": {"metrics": [], "samples": [], "passage": None, "state": "training"},
        "edited": {"events": [{"event": "resumed"}, {"event": "learning_rate_factor"}]},
    }.items():
        _, page = report(make_run(tmp_path / name, **parts))
        assert not NO_VALUE.findall(page.words), name


@pytest.mark.parametrize(
    ("template", "value"),
    [("{{ given.update }}", {"update": "7"}), ("{{ given['update'] }}", {"update": 7}),
     ("{{ given }}", "text".upper), ("{{ given }}", None), ("{{ given }}", ["text"]),
     ("{{ given.missing }}", Config())],
)  # fmt: skip
def test_a_template_that_writes_no_text_is_an_error(template: str, value: object) -> None:
    with pytest.raises((TypeError, UndefinedError)):
        environment().from_string(template).render(given=value)


def test_a_template_writes_attributes_of_typed_values() -> None:
    assert environment().from_string("{{ given.cell }}").render(given=Config()) == "rnn"


def test_a_failed_check_is_said_to_have_failed(tmp_path: Path, checks: list[GradientCheck]) -> None:
    row = dataclasses.replace(checks[0].rows[3], norm_relative=0.25, elementwise=math.nan)
    rows = (*checks[0].rows[:3], row, *checks[0].rows[4:])
    wrong = dataclasses.replace(checks[0], rows=rows)
    html, page = report(make_run(tmp_path / "run", checks=[wrong, *checks[1:]]))
    assert "1 of 4 checks failed. The gradient is WRONG in W" in page.words
    assert "is right" not in page.words
    assert "For larger networks, the gradient can therefore seem to be wrong" not in page.words
    assert "truncation" in page.words
    assert html.count('<tr class="failed">') == 1
    assert "not a number" in page.words


def test_where_no_gradient_is_right_nothing_is_said_of_the_best_central_difference(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    rows = tuple(dataclasses.replace(row, norm_relative=math.nan) for row in checks[0].rows)
    wrong = dataclasses.replace(checks[0], rows=rows)
    _, page = report(make_run(tmp_path / "run", checks=[wrong]))
    assert "1 of 1 check failed" in page.words
    assert "The best step is" not in page.words


def test_a_run_without_gradient_check_says_how_to_get_one(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run"))
    assert page.titles == TITLES
    assert "has no gradient check" in page.words
    assert "charloom gradcheck" in page.words


@pytest.mark.parametrize("state", ["training", "paused", "interrupted", "stopped", "failed"])
def test_an_unfinished_run_gives_a_report_of_what_there_is(tmp_path: Path, state: str) -> None:
    run = make_run(tmp_path / "a run", metrics=records(600), passage=None, state=state)
    _, page = report(run)
    assert page.titles == TITLES
    assert f"not finished: 600 of 1,200 updates are done (state: {state})" in page.words
    assert f"charloom resume {shlex.quote(str(run))} continues it." in page.words
    assert "There is no long passage yet" in page.words
    assert "The red cross marks the end of an epoch" in page.words


def test_a_run_before_its_first_record_gives_a_report_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=[], samples=[], passage=None, state="training")
    _, page = report(run)
    assert page.titles == TITLES
    assert "There is no record yet" in page.words
    assert "There is no sample yet" in page.words
    assert not (run / "loss.svg").exists()


def test_one_record_is_enough(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=records(1), state="training", passage=None)
    _, page = report(run)
    assert "At update 1 the smooth loss is" in page.words
    assert (run / "loss.svg").exists()


def test_a_finished_run_has_no_notice(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run"))
    assert "not finished" not in page.words


def test_a_record_without_its_numbers_is_left_out(tmp_path: Path) -> None:
    metrics: list[dict[str, Any]] = [
        {"update": 7}, {"update": 8, "epoch": 0.1, "characters": 1, "smooth_loss": None},
    ]  # fmt: skip
    _, page = report(make_run(tmp_path / "run", metrics=metrics + records(400)))
    assert "At update 1 the smooth loss" in page.words


def test_a_path_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotAModelError):
        write_report(tmp_path)


def test_the_settings_tell_text_versions_engine_seconds_and_command(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, page = report(make_run(tmp_path / "run", checks=checks, seed=7, engine="native (v4)"))
    for said in (
        "ab" * 32,
        "0.0.9",
        "native (v4)",
        "Python 3.14.0",
        "1.2 for 1,200 of 1,200 updates",
        "matplotlib",
    ):
        assert said in page.words
    assert page.samples[-1] == (
        "charloom reproduce '/books/my book.txt' --run new-run --hidden-size 10 --epochs 3 --seed 7"
    )


def test_what_happened_on_the_way_is_told(tmp_path: Path) -> None:
    events = [
        {"event": "resumed", "update": 300, "engine": "native (v3)", "numpy": "2.9.0"},
        {"event": "learning_rate_factor", "update": 400, "learning_rate_factor": 0.5},
    ]
    _, page = report(make_run(tmp_path / "run", events=events))
    for said in ("native (v3)", "NumPy 2.9.0", "from update 300", "× 0.5 from update 400"):
        assert said in page.words


def test_without_gradient_check_the_command_is_train(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run"))
    assert page.samples[-1].startswith("charloom train ")


def test_a_text_without_a_file_is_taken_from_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", text={"sources": []})
    _, page = report(run)
    assert str(run / "text.txt") in page.samples[-1]


def test_every_setting_that_was_changed_is_in_the_command(tmp_path: Path) -> None:
    _, page = report(make_run(tmp_path / "run", clip=1.0))
    assert page.samples[-1] == (
        "charloom train '/books/my book.txt' --run new-run --recipe classic "
        "--hidden-size 10 --epochs 3 --clip 1.0 --seed 0"
    )


@pytest.mark.parametrize("settings", [{"updates": 500}, {"updates": None, "epochs": 10}], ids=str)
def test_the_command_of_a_recipe_that_trains_for_minutes_says_how_long(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    """So that it is no longer and no shorter on another machine."""
    config = {**RECIPES["quick"].config.to_dict(), "threads": 2, **settings}
    _, page = report(make_run(tmp_path / "run", **config))
    end = "--updates 500" if settings["updates"] else "--epochs 10"
    assert page.samples[-1].endswith(f"--run new-run {end} --seed 0 --threads 2")


def judged(updates: int = 3 * PER_EPOCH, nats: tuple[float, ...] = (2.0, 1.5, 1.6)) -> Any:
    """Records of a training that was judged at each epoch's end."""
    found = records(updates)
    for record, n in zip([r for r in found if r["epoch"] in (1, 2, 3)], nats, strict=True):
        record["validation_nats"] = n
    return found


def test_what_was_held_out_is_in_figures_words_and_picture(tmp_path: Path) -> None:
    end = {"event": "finished", "passage": 800, "time": 1.0, "update": 3 * PER_EPOCH}
    run = make_run(tmp_path / "run", metrics=judged(), validation=0.1, events=[end])
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best").write_text("800\n")
    html, page = report(run)
    assert "the last 10% of the text" in page.words
    assert "It is lowest after update 800: 1.5000 nats or 2.1640 bits per character" in page.words
    assert (
        "The last validation loss, after update 1,200, is 1.6000 nats or 2.3083 bits" in page.words
    )
    assert "the run has no validation part" not in page.words
    assert "2.164" in page.words.partition("Lowest validation loss")[2][:80]
    assert "written by the model with the lowest validation loss: that of update 800" in page.words
    assert html.count('-validation"') == 2
    assert 'id="loss-wide-validation"' in html
    assert "loss-wide-validation" not in report(make_run(tmp_path / "classic"))[0]


def test_figures_of_a_part_of_what_was_held_out_say_so(tmp_path: Path) -> None:
    whole = {"event": "judged", "update": 800, "nats": 1.75, "characters": CHARACTERS // 10}
    run = make_run(
        tmp_path / "run", metrics=judged(), validation=0.1, judged_characters=64, events=[whole]
    )
    words = report(run)[1].words
    held_out = f"{CHARACTERS // 10:,} characters"
    assert f"Each time, 64 of its {held_out} were predicted, spread evenly over it." in words
    assert (
        f"On all {held_out} of the validation part, the loss of the model of update 800 is 1.7500"
        in words
    )
    assert f"on 64 of its {held_out}" in words.partition("Lowest validation loss")[2][:120]
    all_of_it = report(make_run(tmp_path / "all", metrics=judged(), validation=0.1))[1].words
    assert "were predicted" not in all_of_it


def test_a_network_of_any_kind_is_named(tmp_path: Path) -> None:
    settings = {"cell": "lstm", "layers": 2, "batch_size": 7}
    _, page = report(make_run(tmp_path / "run", **settings))
    assert "An LSTM with two layers of 10 hidden units learns" in page.words
    assert "with windows of 25 characters in 7 streams." in page.words


def test_a_gradient_check_of_any_network_has_all_its_curves_and_says_its_size(
    tmp_path: Path,
) -> None:
    check = gradcheck(
        cell="gru", layers=2, batch_size=2, hidden_size=3, seq_length=2, vocabulary_size=4,
        init="uniform",
    )  # fmt: skip
    html, page = report(make_run(tmp_path / "run", checks=[check]))
    assert "GRU, H\u202f=\u202f3, T\u202f=\u202f2, B\u202f=\u202f2, L\u202f=\u202f2" in page.words
    assert "init uniform, h0 zero" in page.words
    assert len(check.rows) == 10
    for row in check.rows:
        assert f'id="curve-wide-problem-0-{row.parameter}"' in html


def test_the_page_can_go_elsewhere_and_then_nothing_goes_into_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = sorted(run.iterdir())
    path = write_report(run, tmp_path / "page.html")
    assert path == tmp_path / "page.html"
    assert Page(path.read_text(encoding="utf-8")).titles == TITLES
    assert sorted(run.iterdir()) == before


def test_a_page_is_no_directory(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="is a directory; give the path of a file"):
        write_report(run, tmp_path)


def test_of_a_model_of_bytes_the_page_speaks_of_bytes(tmp_path: Path) -> None:
    judged = [{**record, "validation_nats": 1.5} for record in records(3 * PER_EPOCH)]
    for name, metrics in (("plain", records(3 * PER_EPOCH)), ("judged", judged)):
        run = make_run(tmp_path / name, metrics=metrics, tokens="bytes", validation=0.1)
        html = write_report(run).read_text(encoding="utf-8")
        words = Page(html).words
        assert "per character" not in words
        assert "bits per byte" in words
        assert "different bytes, K" in words
        assert "characters, 30 of them" not in words


@pytest.mark.parametrize(
    "line",
    [
        '{"update": 7}', '{"update": "x", "epoch": 1, "characters": 1, "smooth_loss": 1}', "[1]",
        '{"update": 1e400, "epoch": 1, "characters": 1, "smooth_loss": 1}',
        '{"update": 7, "epoch": 1.5, "characters": 1, "smooth_loss": 1, "seconds": "long"}',
        '{"update": 7, "epoch": 1.5, "characters": 1, "smooth_loss": 1, "validation_nats": [2]}',
        '{"update": true, "epoch": null, "characters": 1, "smooth_loss": 1}',
        '{"update": -5, "epoch": -1, "characters": 1, "smooth_loss": 1e14}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["metrics.jsonl", "samples.jsonl", "events.jsonl"])
def test_a_line_that_someone_edited_is_no_traceback(tmp_path: Path, file: str, line: str) -> None:
    run = make_run(tmp_path / "run", metrics=records(100) if file == "metrics.jsonl" else [])
    with (run / file).open("a", encoding="utf-8") as journal:
        journal.write(line + "\n")
    with suppress(CharloomError):
        assert write_report(run).exists()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config.json", '"vocabulary_size":30', '"vocabulary_size":0'),
        ("config.json", '"vocabulary_size":30', '"vocabulary_size":-4'),
        ("config.json", '"characters":10001', '"characters":-1'),
        ("config.json", '"name":"book.txt"', '"name":"\\u001b[31m"'),
        ("config.json", '"cell":"rnn"', '"cell":"cnn"'),
        ("status.json", '"update":0', '"update":"many"'),
        ("status.json", '"state":"finished"', '"state":["x"]'),
        ("gradcheck.json", '"checks":', '"cheques":'),
        ("gradcheck.json", '"curve":[', '"curve":["x",'),
        ("gradcheck.json", '"checked":', '"checked":"all","x":'),
        ("gradcheck.json", '"norm_relative":', '"norm_relative":null,"x":'),
        ("gradcheck.json", '"hidden_size":3', '"hidden_size":"three"'),
    ],
)
def test_a_file_that_someone_edited_is_no_traceback(
    tmp_path: Path, checks: list[GradientCheck], file: str, old: str, new: str
) -> None:
    run = make_run(tmp_path / "run", metrics=[], checks=checks[:1])
    text = (run / file).read_text(encoding="utf-8")
    assert old in text
    (run / file).write_text(text.replace(old, new), encoding="utf-8")
    with suppress(CharloomError):
        assert write_report(run).exists()


def test_a_second_report_replaces_the_first_and_leaves_nothing_beside(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", metrics=records(400), state="training", passage=None)
    write_report(run)
    before = {path.name for path in run.iterdir()}
    write_lines(run / "metrics.jsonl", records(800))
    html, _ = report(run)
    assert "800 of 1,200 updates" in html
    assert {path.name for path in run.iterdir()} == before


def test_the_report_of_a_whole_book_takes_a_second_or_so(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    metrics = [{**record, "update": n} for n, record in enumerate(records(225_000), 1)]
    assert len(metrics) > 4_400
    run = make_run(tmp_path / "run", metrics=metrics, checks=checks)
    start = time.process_time()
    path = write_report(run)
    assert time.process_time() - start < 5  # 0.8 s where nothing else runs
    assert path.stat().st_size < 500_000
    assert (run / "loss.svg").stat().st_size < 200_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (1.0, "1.0"), (0.0734, "0.073"), (1e-12, "10⁻¹²"),
        (3.94e-16, "3.9\u202f×\u202f10⁻¹⁶"), (2.5e7, "2.5\u202f×\u202f10⁷"),
        (math.nan, "not a number"), (math.inf, "infinite"),
    ],
)  # fmt: skip
def test_errors_are_written_with_two_digits(value: float, text: str) -> None:
    assert formatting.scientific(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.96, "10 s"), (31.4, "31 s"), (59.6, "1 min 00 s"),
        (125, "2 min 05 s"), (7325, "2 h 02 min"), (7.2e6, "2,000 h 00 min"),
    ],
)  # fmt: skip
def test_times_have_two_units_at_most(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


def row_of(page: Page, name: str) -> str:
    """What follows the name of a setting."""
    return page.words.partition(f"\n{name}")[2][:80]


def test_the_end_that_was_asked_for_and_the_one_that_was_reached_are_listed(tmp_path: Path) -> None:
    whole = report(make_run(tmp_path / "epochs"))[1]
    assert "update 1,200, after 3 epochs; the goal is 3 epochs" in whole.words
    assert row_of(whole, "epochs").startswith("3")
    fixed = report(make_run(tmp_path / "updates", updates=1, epochs=10))[1]
    assert "after 3 epochs; the goal is 1 update" in fixed.words
    assert row_of(fixed, "epochs").startswith("none")
    assert "It is trained for 1 update with windows of" in fixed.words
