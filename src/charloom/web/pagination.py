"""Returns a page of a long list: the items after the last item of the previous page.

This module does not know what the items are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Query

from charloom.web.error_responses import NotFoundError

MOST: Final = 1_000  # largest number of items on one page

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


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of a list.

    Attributes:
        items: the items on the page.
        total: the length of the whole list.
        next: the value of the parameter `after` that requests the next page; None on the last page.
    """

    items: Sequence[T]
    total: int
    next: Any


def page_after(
    items: Sequence[T], key: Callable[[T], str], limit: int, after: str | None
) -> Page[T]:
    """Return the page of at most `limit` items after the item whose key is `after`.

    `key` is a function that returns the key of an item. If `after` is None, return the first page.

    Raises:
        NotFoundError: no item in the list has the key `after`; perhaps the item was removed.
    """
    start = 0
    if after is not None:
        start = next((n for n, item in enumerate(items, 1) if key(item) == after), 0)
        if not start:
            raise NotFoundError(
                f"{after!r} is not in the list any more; request the first page: leave out “after”."
            )
    found = items[start : start + limit]
    more = start + limit < len(items)
    return Page(found, len(items), key(found[-1]) if more else None)


def page_from(items: Sequence[T], limit: int, skipped: int) -> Page[T]:
    """Return the page of at most `limit` items after the first `skipped` items.

    Use this function only for lists that grow at the end. In other lists, the next page could repeat or miss
    an item.
    """
    end = skipped + limit
    return Page(items[skipped:end], len(items), end if end < len(items) else None)
