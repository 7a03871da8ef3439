"""The section of a report about gradient checks."""

import dataclasses
import math
import re
from pathlib import Path

from charloom import formatting
from charloom.gradient_check import GradientCheck, gradcheck
from charloom.report import prose
from report_runs import TITLES, make_run, report


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
            worst, checked = prose.worst_entry(row), f"{row.checked} of {row.total}"
            wanted = [row.parameter, *against[:3], worst, *against[3:], step, checked]
            assert next(lines) == wanted
    assert not list(lines)


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


def test_the_text_names_an_error_that_no_row_of_the_table_exceeds(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    _, large = prose.smallest_and_largest(checks)
    assert large is not None
    engine = "native" if large.settings.engine == "reference" else "reference"
    rows = [
        dataclasses.replace(row, norm_relative=3.3e-14) if row.parameter == "W" else row
        for row in large.rows
    ]
    settings = dataclasses.replace(large.settings, engine=engine)
    worse = [*checks, dataclasses.replace(large, settings=settings, rows=tuple(rows))]
    _, page = report(make_run(tmp_path / "run", checks=worse))
    assert f"stays within {formatting.scientific(3.3e-14)} of the complex step" in page.words
