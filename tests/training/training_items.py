"""Select and react to the items that a training run yields, for tests."""

from charloom.training import Record


def of(kind, items):
    """The items of one kind."""
    return [item for item in items if isinstance(item, kind)]


def eventful(items, actions):
    """All items, where something happens at the records of some updates."""
    told = []
    for item in items:
        told.append(item)
        if isinstance(item, Record) and item.update in actions:
            actions[item.update]()
    return told
