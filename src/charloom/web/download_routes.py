"""The route that downloads a model as a file: as `charloom export` writes it, or as a model file of charloom."""

import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from charloom.api.export_file import ExportOptions, target_of
from charloom.api.model import Model, load
from charloom.errors import ConfigError
from charloom.model.mixture_parts import HasNGramsError
from charloom.store import Which
from charloom.store.run_directory import checkpoint_path
from charloom.web import schemas as wire
from charloom.web.concurrency import Busy
from charloom.web.error_responses import NGramsNotAllowedError, NotAllowedError
from charloom.web.run_index import RunIndex

# The largest number of models that are converted or sent at the same time. Each can be in memory several times.
MOST_AT_ONCE: Final = 2
MODEL_FILE: Final = "safetensors"
KINDS: Final = {"html": "text/html; charset=utf-8"}
NAMED: Final[dict[str, Which]] = {"latest": "latest", "best": "best"}
DOWNLOAD: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {}, "text/html": {}}, "description": "the file"}
}

Format = Literal["safetensors", "html", "torch", "onnx"]


def routes(run_index: RunIndex) -> APIRouter:
    """Return the route that downloads a model."""
    router = APIRouter(tags=["models"])
    places = threading.BoundedSemaphore(MOST_AT_ONCE)

    @router.get("/api/models/{model}/file", response_class=Response, responses=DOWNLOAD)
    def model_file(
        model: wire.ModelKey,
        to: Annotated[Format, Query()] = MODEL_FILE,
        network_alone: Annotated[bool, Query()] = False,
    ) -> Response:
        """Return a model as a file.

        `to` is `safetensors` for a model file, which charloom opens again, or a target of `charloom export`.
        `network_alone` leaves out the n-grams of the model, which files for PyTorch and ONNX cannot have.
        """
        if not places.acquire(blocking=False):
            raise Busy(f"{MOST_AT_ONCE} models are being downloaded, which is the limit.")
        try:
            name, data = exported(run_index, model, to, network_alone)
        except BaseException:
            places.release()
            raise
        return ModelFile(name, data, KINDS.get(to, "application/octet-stream"), places)

    return router


class ModelFile(Response):
    """A response with the file of a model. It keeps its place among the downloads until the file is sent."""

    def __init__(
        self, name: str, data: bytes, media_type: str, places: threading.BoundedSemaphore
    ) -> None:
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        super().__init__(data, media_type=media_type, headers=headers)
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._places.release()


def exported(run_index: RunIndex, key: str, to: Format, network_alone: bool) -> tuple[str, bytes]:
    """Return the name and the content of the file with a model.

    Raises:
        NotFoundError: no model has the key `key`.
        NGramsNotAllowedError: the model has n-grams, which a file of this format cannot have.
        NotAllowedError: the model cannot be converted to this format for another reason.
    """
    model, name = open_model(run_index, key)
    with tempfile.TemporaryDirectory(prefix="charloom-") as folder:
        if to == MODEL_FILE:
            path = Path(folder) / f"{name}.safetensors"
            (model.network_alone() if network_alone else model).save(path)
        else:
            options = ExportOptions(network_alone=network_alone)
            target = target_of(to, options)
            path = Path(folder) / f"{name}{target.suffix}"
            try:
                target.write(model.prepared_export(path, options))
            except HasNGramsError as error:
                raise NGramsNotAllowedError(error.message, "to") from None
            except ConfigError as error:
                raise NotAllowedError(error.message, "to") from None
        return path.name, path.read_bytes()


def open_model(run_index: RunIndex, key: str) -> tuple[Model, str]:
    """Open a model, with its text if that is still there. Return it with a name for its file.

    Raises:
        NotFoundError: no model has the key `key`.
    """
    place, which = run_index.model(key)
    name = key.replace("@", "-").removesuffix(".safetensors")
    if which == "file" or which is None:
        return load(place.path), name
    if which in NAMED:
        return load(place.path, which=NAMED[which]), name
    return load(checkpoint_path(place.path, int(which))), name
