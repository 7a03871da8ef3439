"""Cuts a page out of a long list, beginning after the item that the previous page ended with.

It knows nothing of what is in the list.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query

from charloom.web.mistakes import NotHereError

MOST: Final = 1_000  # of one page

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST, description="the largest number of items on the page")]
After = Annotated[
    str | None,
    Query(
        max_length=100,
        description="the `next` of the previous page; without it, the first page is sent",
    ),
]
Skipped = Annotated[
    int,
    Query(ge=0, lt=2**53, description="the `next` of the previous page: how many items to skip"),
]


class Page(Generic[T]):
    """A page.

    Attributes:
        items: those on it.
        total: of the whole list.
        next: what to ask for the page after it by; None where there is none.
    """

    def __init__(self, items: Sequence[T], total: int, next: Any) -> None:
        self.items = items
        self.total = total
        self.next = next


def page_after(
    items: Sequence[T], key: Callable[[T], str], limit: int, after: str | None
) -> Page[T]:
    """The page after the item of a key, None for the first one.

    Raises:
        NotHereError: no item has that key any more.
    """
    start = 0
    if after is not None:
        start = next((n for n, item in enumerate(items, 1) if key(item) == after), 0)
        if not start:
            raise NotHereError(
                f"{after!r} is not in the list any more; request the first page, without after."
            )
    found = items[start : start + limit]
    more = start + limit < len(items)
    return Page(found, len(items), key(found[-1]) if more else None)


def page_from(items: Sequence[T], limit: int, skipped: int) -> Page[T]:
    """The page of a list that only grows, from the item after the first `skipped`."""
    end = skipped + limit
    return Page(items[skipped:end], len(items), end if end < len(items) else None)
