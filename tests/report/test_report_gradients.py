"""The section of a report about gradient checks."""

import dataclasses
import math
import re
from pathlib import Path

from charloom import formatting
from charloom.gradient_check import GradientCheck, gradcheck
from charloom.report import prose
from charloom.report.main_rows import in_order, main_check
from pages import Page
from report_runs import TITLES, make_run, report

FOUR = ("norm-relative", "absolute", "elementwise")


def tables_of(page: Page) -> list[list[list[str]]]:
    """Return the rows of each table of gradient checks, below the headings."""
    headings = [*FOUR, "worst entry", *FOUR, "best step"]
    return [table[table.index(headings) + 1 :] for table in page.tables if headings in table]


def test_five_rows_are_shown_and_all_rows_are_folded(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks))
    shown, folded = tables_of(page)
    assert [row[0] for row in shown[1:]] == ["U", "W", "b", "V", "c"]
    assert shown[0][0].startswith("H\u202f=\u202f9, T\u202f=\u202f6, float64")
    assert len(folded) == 4 * (1 + 5)
    assert "15 more rows of the checks can be unfolded" in page.words
    assert "The errors of all 20 rows of 4 checks" in page.words
    details = html.index("<details>\n<summary>The errors of all 20 rows")
    first, second = (found.start() for found in re.finditer('<table class="errors">', html))
    assert first < details < second


def test_where_one_check_has_five_rows_nothing_is_folded(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks[:1]))
    assert len(tables_of(page)) == 1
    assert "more rows" not in page.words
    assert "<summary>The errors" not in html


def test_of_many_rows_the_five_that_are_closest_to_their_limits_are_shown() -> None:
    check = gradcheck(cell="gru", layers=2, hidden_size=3, seq_length=2, vocabulary_size=4)
    wrong = dataclasses.replace(check.rows[6], norm_relative=0.5)
    rows = (*check.rows[:6], wrong, *check.rows[7:])
    shown = main_check([check, dataclasses.replace(check, rows=rows)])
    assert len(shown.rows) == 5
    assert wrong in shown.rows
    assert not shown.passed
    names = [row.parameter for row in check.rows]
    places = [names.index(row.parameter) for row in shown.rows]
    assert places == sorted(places)


def test_the_folded_table_has_a_line_for_each_parameter_of_each_check(
    tmp_path: Path, checks: list[GradientCheck]
) -> None:
    html, page = report(make_run(tmp_path / "run", checks=checks))
    table = html[html.rindex('<table class="errors">') :]
    table = table[: table.index("</table>")]
    assert re.findall(r'<th scope="row">(\w)</th>', table) == ["U", "W", "b", "V", "c"] * 4
    for check in checks:
        for row in in_order(check).rows:
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
    shown, folded = tables_of(page)
    lines = iter(shown + folded)
    for check in (checks[1], *checks):
        (heading,) = next(lines)
        assert heading.startswith(prose.size(check))
        assert heading.endswith(f", engine {check.settings.engine}: passed")
        for row in in_order(check).rows:
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
    assert (
        html.count('<tr class="failed">') == 2
    )  # among the rows that are shown, and when unfolded
    shown, _ = tables_of(page)
    assert shown[0][0].endswith(": failed")
    assert "W" in [row[0] for row in shown]
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


def test_the_text_says_that_errors_grow_with_the_network_only_if_they_do(
    checks: list[GradientCheck],
) -> None:
    small, large = prose.smallest_and_largest(checks) or (checks[0], checks[0])
    assert "For larger networks" in prose.central_story(checks)[1]
    same = {row.parameter: row.central for row in small.rows}
    rows = tuple(dataclasses.replace(row, central=same[row.parameter]) for row in large.rows)
    _, second = prose.central_story([small, dataclasses.replace(large, rows=rows)])
    assert "For larger networks" not in second
    assert "a right gradient can therefore seem to be wrong" in second


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
