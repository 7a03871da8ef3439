"""The route of the table below the comparison chart: the settings that differ, and the figures of several runs.

The command `compare` shows the same table if it evaluates no model.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from charloom.api.compare_runs import comparison_of
from charloom.messages import for_page
from charloom.store.intact_checkpoints import IntactCheckpoints
from charloom.web import schemas as wire
from charloom.web.run_index import RunIndex


def routes(run_index: RunIndex) -> APIRouter:
    """Return the route of the comparison of runs."""
    router = APIRouter(tags=["runs"])
    known = IntactCheckpoints()

    @router.get("/api/comparison")
    def comparison(
        run: Annotated[list[wire.Key], Query(min_length=1, max_length=wire.MOST_COMPARED)],
    ) -> wire.Comparison:
        """Return a table with a row for each run: the settings that differ, bits per character and seconds.

        A run that is starting has no row yet. No model is evaluated: the bits are those that the runs recorded.
        """
        places = {}
        for key in run:
            run_index.run(key)  # raises NotFoundError for a key that no run has
            places[key] = run_index.place_if_any(key)
        keys = [key for key, place in places.items() if place is not None]
        paths = [place.path for place in places.values() if place is not None]
        found = comparison_of(paths, intervals=False, known=known)
        return wire.Comparison(
            heads=found.heads,
            rows=[
                wire.ComparisonRow(run=key, cells=cells)
                for key, cells in zip(keys, found.rows, strict=True)
            ],
            settings=len(found.settings),
            best=[keys[n] for n in found.best],
            notes=list(map(for_page, found.notes)),
        )

    return router
