"""Runs a user's whole program on a short text, and watches which numbers its training loop changes and computes."""
