"""Exports models as ONNX files, without the package onnx (spec/formats.md: ONNX files)."""

from charloom.onnx_format.onnx_file import loading_lines, onnx_bytes

__all__ = ["loading_lines", "onnx_bytes"]
