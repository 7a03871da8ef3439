"""The second lesson shows every number of `charloom trace --seed 1`, and none of another network."""

import re
import sys
from pathlib import Path

import numpy as np

import charloom
from document_examples import blocks

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import lesson_by_hand  # noqa: E402

TEXT = lesson_by_hand.LESSON.read_text(encoding="utf-8")
TRACE = charloom.trace(seed=lesson_by_hand.SEED)


def test_the_numbers_are_those_of_the_command():
    assert lesson_by_hand.with_numbers(TEXT, TRACE) == TEXT
    assert lesson_by_hand.with_numbers(TEXT, charloom.trace(seed=2)) != TEXT


def test_a_number_that_was_changed_by_hand_is_caught():
    planted = TEXT.replace("-0.464776   -0.212571", "-0.464776   -0.212572")
    assert planted != TEXT
    assert lesson_by_hand.with_numbers(planted, TRACE) == TEXT


def test_every_part_of_the_trace_is_shown_once_and_in_order():
    marks = [found[1] for found in lesson_by_hand.MARKED.finditer(TEXT)]
    assert marks == list(lesson_by_hand.blocks_of(TRACE))


def test_the_commands_of_the_lesson_use_its_network():
    shown = [code for language, _, code in blocks(TEXT) if language == "sh"]
    seeds = re.findall(r"^charloom trace --seed (\d)", "\n".join(shown), re.MULTILINE)
    assert seeds == [str(lesson_by_hand.SEED)] * 4
    assert f"charloom.trace(seed={lesson_by_hand.SEED})" in TEXT


def test_what_the_text_says_about_the_numbers_is_true():
    own, sent = TRACE["V"].T @ TRACE["do_2"], TRACE["dh_next_2"]
    assert (own > 0).all()
    assert (own + sent < 0).all()
    assert f"are {own[0]:.6f} and {own[1]:.6f}" in " ".join(TEXT.split())
    assert TRACE["loss_2"] < TRACE["loss_3"]
    assert 0 < TRACE["loss_1"] - np.log(3) < 0.1
    assert [f"{1 - h * h:.0%}" for h in TRACE["h_3"]] == ["98%", "18%"]
    assert [f"{h:.2f}" for h in TRACE["h_3"]] == ["0.13", "-0.90"]
    assert f"{TRACE['p_2'][TRACE['y'][1]]:.2f}" == "0.84"
    assert not TRACE["dU"][:, 2].any()
    assert list(TRACE["x"]) == [0, 1, 0]
    assert list(TRACE["y"]) == [1, 0, 2]


def test_the_mistake_that_the_text_suggests_is_found_where_it_says():
    (program,) = [
        code for language, _, code in blocks(TEXT) if language == "python" and "dh_next" in code
    ]
    broken = program.replace("V.T @ do + dh_next", "V.T @ do").replace(
        "assert check.passed, check", ""
    )
    assert broken != program
    variables = {}
    exec(broken, variables)
    assert variables["check"].first_wrong.name == "dh_2"
