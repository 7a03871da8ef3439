"""Tests of the page in a browser, a package so that all of them share one browser and two servers."""
