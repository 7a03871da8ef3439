"""The names that `import charloom` offers are sorted, typed, imported on first use, and exist."""

import importlib
import importlib.metadata
import tomllib
from pathlib import Path

import pytest

import charloom
from charloom import api, studies

ROOT = Path(__file__).parent.parent


def test_the_public_names_are_sorted_and_exist():
    assert charloom.__all__ == sorted(charloom.__all__)
    for name in charloom.__all__:
        assert getattr(charloom, name) is not None
    assert dir(charloom) == charloom.__all__


def kind_and_name(name):
    """Return the key of a name in the order of the linter: constants, then classes, then functions."""
    return not name.isupper(), not name[0].isupper(), name


def test_the_names_of_every_package_are_sorted_and_exist():
    for package in (
        "api",
        "engines",
        "engines.reference",
        "hidden_units",
        "listeners",
        "model",
        "research",
        "store",
        "studies",
        "text",
        "training",
    ):
        module = importlib.import_module(f"charloom.{package}")
        assert list(module.__all__) == sorted(module.__all__, key=kind_and_name), package
        for name in module.__all__:
            assert hasattr(module, name), f"{package}.{name}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'charloom' has no attribute 'traim'"):
        charloom.traim  # noqa: B018
    for package in (api, studies):
        with pytest.raises(AttributeError, match="has no attribute 'traim'"):
            package.traim  # noqa: B018


def test_old_programs_can_import_the_earlier_names():
    for earlier, present in api.EARLIER_NAMES.items():
        assert getattr(api, earlier) is getattr(api, present)


def test_the_version_equals_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert charloom.__version__ == project["version"]


@pytest.mark.parametrize("name", charloom.__all__)
def test_a_public_name_is_not_also_a_module(name):
    """Importing a module charloom.doctor would replace the function of that name."""
    package = Path(charloom.__file__).parent
    assert not (package / name).exists()
    assert not (package / f"{name}.py").exists()


def test_the_package_tells_type_checkers_that_it_is_typed():
    assert (Path(charloom.__file__).parent / "py.typed").exists()


def test_every_public_function_and_class_is_documented():
    for name in charloom.__all__:
        assert (getattr(charloom, name).__doc__ or "").strip(), name
