"""Recognises the forms in which people write networks, and writes a wrapper for each in Python.

A wrapper is the readable source of a function `checked(params, x, y, h0)` around the user's own
functions. The doctor runs it, or writes it to a file for the user.
"""
