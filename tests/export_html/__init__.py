"""Tests of exported HTML files in a browser, a package so that all of them share one browser."""
