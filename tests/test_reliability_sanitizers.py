"""The sanitizers report planted faults; the long check runs the native engine under them."""

import shutil

import pytest

from charloom.engines import native_problem
from reliability import SHORT, sanitizers

pytestmark = pytest.mark.skipif(shutil.which("c++") is None, reason="no compiler here")


def test_each_sanitizer_reports_its_planted_fault():
    assert sanitizers.check(SHORT)["planted_faults_reported"] == len(sanitizers.FAULTS)


def test_a_sanitizer_that_reports_nothing_is_noticed(monkeypatch):
    monkeypatch.setitem(sanitizers.FAULTS, "address", "int main() {}")
    with pytest.raises(AssertionError, match="does not tell of its fault"):
        sanitizers.check(SHORT)


@pytest.mark.skipif(bool(native_problem()), reason="no native engine here")
def test_the_checks_of_the_sanitizers_also_run_without_them(monkeypatch):
    monkeypatch.setenv("CHARLOOM_ISA", "")
    assert sanitizers.shapes(20) >= 20
    assert sanitizers.threads(0.5) > 3


@pytest.mark.skipif(bool(native_problem()), reason="no native engine here")
def test_a_build_without_its_sanitizer_is_noticed(tmp_path):
    from charloom import _native

    (tmp_path / "charloom").mkdir()
    with pytest.raises(AssertionError, match="has no extension"):
        sanitizers.require_instrumented("address", tmp_path)
    shutil.copy(_native.__file__, tmp_path / "charloom")
    for kind, missing in (("address", "__asan_, __ubsan_"), ("thread", "__tsan_")):
        with pytest.raises(AssertionError, match=f"the {kind} build calls nothing of {missing}"):
            sanitizers.require_instrumented(kind, tmp_path)
