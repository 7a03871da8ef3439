"""The texts to train on, and their routes: built-in texts, uploaded texts, and the texts of runs in the list.

Each text has a key. Uploaded texts are stored in the folder of the runs, because resuming a run needs its text.
"""

import asyncio
import codecs
import hashlib
import importlib.util
import json
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from charloom.formatting import harmless, shortened
from charloom.run_file_names import TEXT
from charloom.store.atomic_files import replace_file, writing
from charloom.text import BUILTIN_TEXTS
from charloom.web import schemas as wire
from charloom.web.body_rules import BYTES, JSON
from charloom.web.error_responses import NotAllowedError, NotFoundError
from charloom.web.pagination import MOST, After, Limit, page_after
from charloom.web.run_index import RunIndex
from charloom.web.runs_folder import key_of, printable

FOLDER: Final = "texts"
MOST_BYTES: Final = 2 * 1024 * 1024 * 1024  # largest size of all uploaded texts together
PIECE: Final = 1024 * 1024  # number of bytes of a text that are decoded in one call
BODY: Final = {
    BYTES: {"schema": {"type": "string", "format": "binary", "maxLength": wire.UPLOAD_BODY}},
    JSON: {"schema": wire.NewText.model_json_schema()},
}
PACKAGES: Final = {"kjv": "pythonbible", "kjv-nt": "pythonbible"}


@dataclass(frozen=True)
class Text:
    """A text that a run can train on.

    Attributes:
        about: the entry of the text in the list of texts.
        sources: the arguments of `charloom train` that select the text: the name of a built-in text, or paths.
    """

    about: wire.TextAbout
    sources: tuple[str, ...]


def routes(texts: "TextIndex") -> APIRouter:
    """Return the routes of texts."""
    router = APIRouter(tags=["training"])

    @router.get("/api/texts")
    def list_texts(limit: Limit = MOST, after: After = None) -> wire.Texts:
        """Return a page of the list of texts to train on."""
        seen = texts.run_index.read_list()
        page = page_after(list(texts.all().values()), lambda text: text.about.key, limit, after)
        return wire.Texts(
            texts=[text.about for text in page.items],
            total=page.total,
            next=page.next,
            unread=seen.unread,
        )

    @router.post(
        "/api/texts",
        status_code=201,
        openapi_extra={"requestBody": {"required": True, "content": BODY}},
    )
    async def upload(
        request: Request,
        name: Annotated[
            wire.TextName | None,
            Query(description=f"the name of a text in {BYTES}; {JSON} has it in the body"),
        ] = None,
    ) -> wire.TextAbout:
        """Store the text in the request, as UTF-8 bytes or in JSON, and return its entry in the list.

        If the same text is stored already, return the entry of the stored text.
        """
        # `Guard` passes on the whole body of the request in one message. `request.body()` would copy the body.
        data = (await request.receive())["body"]
        if not request.headers["content-type"].lower().startswith(BYTES):
            new = new_text(data)
            name, data = new.name, new.text.encode()
        elif name is None:
            raise NotAllowedError("the text has no name; give it in the query, ?name=….", "name")
        # A thread checks and writes the text, so that a large text does not block other requests.
        kept = await asyncio.to_thread(texts.keep, name, data)
        return kept.about

    return router


def new_text(body: bytes) -> wire.NewText:
    """Return the text in `body`, the JSON body of a request.

    Raises:
        RequestValidationError: `body` is not JSON, or does not fit the schema `NewText`.
    """
    try:
        return wire.NewText.model_validate(json.loads(body))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None
    except (ValueError, RecursionError):
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body",), "msg": "no JSON"}]
        ) from None


def require_text(name: str, data: bytes) -> None:
    """Raise NotAllowedError if `data` is not UTF-8, or has fewer than two different characters.

    The message gives the offset of the first byte that is not UTF-8. `data` is decoded in pieces, because
    Python holds its lock while it decodes: decoding 64 MiB in one call would block all other requests for a
    tenth of a second.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    first, several = "", False
    for start in range(0, len(data), PIECE):
        # If the last piece ended inside a character, how many bytes of that character it had; otherwise 0.
        held = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data[start : start + PIECE], final=start + PIECE >= len(data))
        except UnicodeDecodeError as error:
            at = start - held + error.start
            raise NotAllowedError(
                f"{harmless(name)} is not UTF-8: byte 0x{data[at]:02x} at offset {at:,}; save it as "
                "UTF-8 text and upload it again.",
                "text",
            ) from None
        first = first or text[:1]
        several = several or text.count(first) < len(text)
    if not several:
        problem = "repeats a single character" if data else "is empty"
        raise NotAllowedError(
            f"{harmless(name)} {problem}; a text needs at least two different characters.", "text"
        )


class TextIndex:
    """The texts that a run can be started with.

    Args:
        run_index: the list of runs. A new run can also train on a text of these runs.
    """

    def __init__(self, run_index: RunIndex) -> None:
        self.run_index = run_index
        self.folder = run_index.folder / FOLDER

    def all(self) -> dict[str, Text]:
        """Return all texts: built-in texts, uploaded texts and texts of runs, by their keys."""
        found = [
            Text(
                wire.TextAbout(
                    key=f"builtin.{name}", name=name, kind="builtin", description=text.description
                ),
                (name,),
            )
            for name, text in BUILTIN_TEXTS.items()
            if name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]) is not None
        ]
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.txt")):
                # Leave out broken links, and files that were removed a moment ago.
                with suppress(OSError):
                    found.append(_uploaded_text(path))
        seen = {text.sources for text in found}
        for run, path, described in self.run_index.texts():
            sources = described.sources or (str((path / TEXT).resolve()),)
            if (
                sources not in seen
                and (text := _text_of_run(run, described.name, sources)) is not None
            ):
                seen.add(sources)
                found.append(text)
        return {text.about.key: text for text in found}

    def find(self, key: str) -> Text:
        """Return the text with the key `key`.

        Raises:
            NotFoundError: there is no such text.
        """
        texts = self.all()
        if key not in texts:
            raise NotFoundError(
                f"there is no text {shortened(key)}; GET /api/texts lists the texts."
            )
        return texts[key]

    def keep(self, name: str, data: bytes) -> Text:
        """Store an uploaded text and return it. If the same text is stored already, return the stored text.

        Args:
            name: the name of the text.
            data: the text in UTF-8.

        Raises:
            NotAllowedError: `require_text` refuses `data`, or all uploaded texts together would have more than
                `MOST_BYTES` bytes.
            WriteError: the file could not be written.
        """
        require_text(name, data)
        letters = unicodedata.normalize("NFC", Path(name).stem)
        plain = re.sub(r"[^\w-]+", "-", letters).strip("-")[:40] or "text"
        path = self.folder / f"{plain}-{hashlib.sha256(data).hexdigest()[:8]}.txt"
        if not path.exists():
            with writing(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            held = sum(map(size_of, self.folder.glob("*.txt")))
            if held + len(data) > MOST_BYTES:
                raise NotAllowedError(
                    f"the folder {FOLDER} holds {held:,} bytes, and this text has {len(data):,}; the limit "
                    f"is {MOST_BYTES:,} bytes, so delete files that you no longer need.",
                    "text",
                )
            replace_file(path, data)
        return _uploaded_text(path)


def _uploaded_text(path: Path) -> Text:
    """Return the uploaded text that is stored in the file `path`."""
    name = printable(re.sub(r"-[0-9a-f]{8}$", "", path.stem))[: wire.SHORT]
    key = f"own.{key_of(path.stem)}"
    about = wire.TextAbout(key=key, name=name, kind="uploaded", bytes=path.stat().st_size)
    return Text(about, (str(path.resolve()),))


def _text_of_run(run: wire.Run, name: object, sources: tuple[str, ...]) -> Text | None:
    """Return the text that the run `run` trains on; None if a new run could not read this text again.

    Args:
        run: the run.
        name: the name of the text that the run trains on.
        sources: the arguments of `charloom train` that selected the text. The result is None unless each
            argument is the absolute path of a file that exists.
    """
    try:
        files = [Path(source) for source in sources]
        # An argument of `charloom train` may also be a pattern or a pipe. Reading a pattern or a pipe again may
        # give a different text.
        if not all(file.is_absolute() and file.is_file() for file in files):
            return None
        size = sum(file.stat().st_size for file in files)
    except OSError:
        return None
    about = wire.TextAbout(
        key=f"of.{run.key}", name=printable(str(name))[: wire.SHORT], kind="run", bytes=size
    )
    return Text(about, sources)


def size_of(path: Path) -> int:
    """Return the size of the file `path` in bytes; 0 if there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
