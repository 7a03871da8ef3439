"""The figures, pictures and samples of a report are those of the run's records."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from charloom import formatting
from charloom.gradient_check import GradientCheck
from charloom.report import write_report
from pages import NO_VALUE, Page
from report_runs import CHARACTERS, PER_EPOCH, T, make_run, records, report


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


def crosses_in(svg: str, gid: str) -> list[tuple[float, float]]:
    """Return the places of the crosses in an SVG."""
    start = svg.index(f'<g id="{gid}">')
    drawn = svg[start : svg.index("</g>", start)]
    return [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="(.+?)" y="(.+?)"', drawn)]


def test_a_second_panel_shows_the_loss_after_the_first_epoch(tmp_path: Path) -> None:
    html, _ = report(make_run(tmp_path / "run"))
    standalone = (tmp_path / "run" / "loss.svg").read_text(encoding="utf-8")
    for svg, prefix in ((standalone, ""), (html, "loss-wide-"), (html, "loss-narrow-")):
        whole = crosses_in(svg, f"{prefix}epoch-ends")
        zoom = crosses_in(svg, f"{prefix}zoom-epoch-ends")
        # Of the three epochs, the panel shows two in the same width, and a tenth of the fall in its height.
        assert zoom[1][0] - zoom[0][0] == pytest.approx(1.5 * (whole[1][0] - whole[0][0]), rel=1e-3)
        assert zoom[-1][0] == pytest.approx(whole[-1][0])
        assert zoom[-1][1] - zoom[0][1] > 2 * (whole[-1][1] - whole[0][1])
    assert html.count("after the first epoch") == 2


@pytest.mark.parametrize("updates", [PER_EPOCH - 50, PER_EPOCH, PER_EPOCH + 100])
def test_a_run_that_ends_soon_after_its_first_epoch_has_one_panel(
    tmp_path: Path, updates: int
) -> None:
    html, _ = report(make_run(tmp_path / "run", metrics=records(updates), state="training"))
    assert "after the first epoch" not in html
    assert "zoom-" not in html


def test_the_figures_are_those_of_the_records(tmp_path: Path) -> None:
    metrics = records(3 * PER_EPOCH)
    metrics[5]["smooth_loss"] = 12.345
    _, page = report(make_run(tmp_path / "run", metrics=metrics))
    assert f"At update 1 the smooth loss is {metrics[0]['smooth_loss']:.2f} nats" in page.words
    assert f"25 ln 30 = {25 * math.log(30):.2f}" in page.words
    assert f"12.35 at update {metrics[5]['update']}" in page.words
    assert f"{12.345 / 25 / math.log(2):.2f} bits per character" in page.words
    assert f"has a smooth loss of {metrics[-1]['smooth_loss']:.2f}" in page.words
    assert "The training loss is 2.000 nats, or 2.885 bits" in page.words


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
    """Checks reports of a complete run, of one with a validation part and of one that has just begun."""
    for name, parts in {
        "whole": {"checks": checks, "samples": [{"update": u, "text": "x"} for u in (0, 400)]},
        "judged": {"metrics": judged(), "validation": 0.1},
        "bare": {"metrics": [], "samples": [], "passage": None, "state": "training"},
        "edited": {"events": [{"event": "resumed"}, {"event": "learning_rate_factor"}]},
    }.items():
        _, page = report(make_run(tmp_path / name, **parts))
        assert not NO_VALUE.findall(page.words), name


def judged(updates: int = 3 * PER_EPOCH, nats: tuple[float, ...] = (2.0, 1.5, 1.6)) -> Any:
    """Return records of a training run that was evaluated at the end of each epoch."""
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
    tile = re.search(r"<dt>Lowest validation loss</dt><dd>(.+?)</dd>", html)
    assert tile is not None
    words = re.sub("<.+?>", "|", tile[1])
    assert words == "2.164|bits per character||1.5000 nats||at update 800|"
    assert "written by the model with the lowest validation loss: that of update 800" in page.words
    assert html.count('-validation"') == 4  # two panels, for wide and for narrow screens
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
