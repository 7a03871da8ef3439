"""Selects the items that a training run yields and reacts to them, for tests."""

from charloom.training import Record


def items_of(kind, items):
    """Return the items of one kind."""
    return [item for item in items if isinstance(item, kind)]


def eventful(items, actions):
    """Return all items, and call the action of an update at its record."""
    received = []
    for item in items:
        received.append(item)
        if isinstance(item, Record) and item.update in actions:
            actions[item.update]()
    return received
