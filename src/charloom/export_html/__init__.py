"""Exports a model as one HTML file that writes text in a browser, without a network (spec/formats.md: HTML files)."""

from charloom.export_html.browser_weights import WEIGHTS, WeightType, browser_model
from charloom.export_html.html_file import html_bytes

__all__ = ["WEIGHTS", "WeightType", "browser_model", "html_bytes"]
