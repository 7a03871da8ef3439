"""A run without a validation part has one training loss, wherever it is shown."""

import json

import pytest

from charloom.api.compared_run import read_compared_run
from charloom.report import write_report
from charloom.store.run_summary import summarize_run
from charloom.store.training_loss import EpochMeans
from charloom.web.indexed_run import IndexedRun
from charloom.web.runs_folder import Location
from command_line import SMALL, charloom_

pytestmark = pytest.mark.usefixtures("kept_plots")


def test_the_terminal_the_lists_the_report_and_the_page_show_one_training_loss(book, tmp_path):
    """Takes two seconds, because it draws the report."""
    run = tmp_path / "book"
    done = charloom_(
        "train", book, "--run", run, SMALL.replace("--updates 40", ""), "--epochs 3 --json"
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    means = EpochMeans()
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        means.add(record["epoch"], record["characters"], record["train_nats"])
    assert means.complete == 3
    bits = means.last_whole / 0.6931471805599453
    page = IndexedRun(run).read(Location("book", run, "book"), None, (0, 0))
    shown = {
        "command": result["training_bits"],
        "list": summarize_run(run).best_bits,
        "comparison": read_compared_run(run).recorded_bits,
        "page": page.train_bits,
        "page, best": page.best_bits,
    }
    assert shown == dict.fromkeys(shown, pytest.approx(bits))
    assert page.train_bits_of == "mean of epoch 3"
    report = write_report(run, tmp_path / "report.html").read_text()
    assert f"{bits:.3f} bits, per character: the mean of epoch 3" in report


def test_the_terminal_names_the_epoch_of_the_training_loss(book, tmp_path):
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL.replace("--updates 40", ""), "--epochs 2"
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("training:")]
    assert line.endswith("per character of the training text, mean of epoch 2")
    assert "bits" not in next(
        line for line in done.stdout.splitlines() if line.startswith("smooth loss:")
    )
