"""The routes of studies: the list, the table and curves of one study, and its report."""

import threading
import time
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from charloom.errors import CharloomError
from charloom.web import schemas as wire
from charloom.web.concurrency import Busy
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.pagination import After, Limit, page_after
from charloom.web.run_index import RunIndex
from charloom.web.study_figures import checked_values, without_path
from charloom.web.study_index import StudyIndex

FIRST_STUDIES: Final = 200  # the number of studies on a page of the list, by default
FIRST_ROWS: Final = 100  # the number of rows of a table, by default
# A report has its style sheet and its pictures in itself, and no script. It may load and run nothing else.
REPORT_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
REPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/html": {}}, "description": "the report"}
}


def routes(run_index: RunIndex) -> APIRouter:
    """Return the routes of studies."""
    router = APIRouter(tags=["studies"])
    index = StudyIndex(run_index)
    drawing = threading.Lock()

    @router.get("/api/studies", response_model=wire.Studies)
    def list_studies(limit: Limit = FIRST_STUDIES, after: After = None) -> AsciiJSONResponse:
        """Return a page of the list of studies, most recently changed first."""
        now = time.time()
        with index.lock:
            found = [figures.about(now) for figures in index.read_list()]
        found.sort(key=lambda study: (-study.changed, study.key))
        page = page_after(found, lambda study: study.key, limit, after)
        listed = wire.Studies(studies=list(page.items), total=page.total, next=page.next, unread=0)
        return AsciiJSONResponse(listed.model_dump())

    @router.get("/api/studies/{study}", response_model=wire.StudyDetail)
    def one_study(
        study: wire.Key, rows: Annotated[int, Query(ge=1, le=wire.MOST_STUDY_ROWS)] = FIRST_ROWS
    ) -> AsciiJSONResponse:
        """Return a study with the first rows of its table, its failed runs, and the curves of its best settings."""
        with index.lock:
            return AsciiJSONResponse(index.study(study).detail(time.time(), rows).model_dump())

    @router.get("/api/studies/{study}/report", response_class=Response, responses=REPORT)
    def report(study: wire.Key) -> Response:
        """Return the report of a study as HTML: the file that `charloom study report` writes.

        One report is made at a time.
        """
        if not drawing.acquire(blocking=False):
            raise Busy("the report of a study is being made; one is made at a time.")
        try:
            return report_of(index, study)
        finally:
            drawing.release()

    return router


def report_of(index: StudyIndex, key: str) -> Response:
    """Return the report of the study with the key `key`.

    Raises:
        NotFoundError: no study has this key.
        DamagedError: the study is damaged.
        StudyError: no run has finished.
    """
    from charloom.studies.study_page import render_study  # imports matplotlib

    with index.lock:
        figures = index.study(key)
    try:
        with index.lock:
            found = figures.whole_study()
        with checked_values():
            html = render_study(found)
    except CharloomError as error:
        error.args = (without_path(error.message, figures.watched.path),)
        raise
    headers = {"content-security-policy": REPORT_POLICY}
    return Response(
        html.encode("utf-8", "replace"), media_type="text/html; charset=utf-8", headers=headers
    )
