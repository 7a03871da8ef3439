"""An installed charloom has every file that its commands need, and its metadata."""

from importlib import metadata, resources

import pytest

import charloom

FILES = (
    "py.typed",
    "_native.pyi",
    "diagnosis/templates/numpy.txt",
    "export_html/page/page.html",
    "report/templates/run.html",
    "report/templates/page.css",
    "web/static/index.html",
    "web/static/app.js",
    "web/static/style.css",
)


def missing(files):
    return [name for name in files if not resources.files("charloom").joinpath(name).is_file()]


def test_every_file_is_installed():
    assert missing(FILES) == []


def test_a_planted_file_is_missing():
    assert missing(["web/static/nothing.js"]) == ["web/static/nothing.js"]


def test_the_metadata_has_the_version_the_licence_and_the_command():
    about = metadata.metadata("charloom")
    assert about["Version"] == charloom.__version__
    assert about["License-Expression"] == "MIT"
    commands = metadata.entry_points(group="console_scripts", name="charloom")
    assert [command.value for command in commands] == ["charloom.__main__:main"]


@pytest.mark.parametrize("name", ["LICENSE"])
def test_the_licence_is_installed(name):
    files = metadata.files("charloom") or []
    assert [path for path in files if path.name == name and ".dist-info" in path.parts[0]] or (
        metadata.distribution("charloom").read_text("direct_url.json")  # an editable installation
    )
