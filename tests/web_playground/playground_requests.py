"""Requests of the tests of the playground, and their answers."""

from web_servers import events_of


def complete_events(answer):
    """Return the events of a complete response."""
    assert answer.status_code == 200, answer.text
    return list(events_of(answer.text.split("\n")))
