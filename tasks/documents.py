"""Documents of a source: what is cut, embedded, searched and cited.

A source is a folder of documents or one of them (.md .html .pdf .txt), or what `tasks.corpus`
reads: a table (.csv .json .jsonl .parquet .xlsx, …), ``corpus:NAME``, ``sql:PATH``,
``query:SELECT``. The findings of a summary are such a table.
"""

import asyncio
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError
from infra.messages import storable
from tasks.columns import BODIES, IDS, TITLES, first_of, require
from tasks.corpus import read_source
from tasks.document_files import HTML, MARKDOWN, SUFFIXES, read_document

if TYPE_CHECKING:
    import pandas as pd

_IDS = ("doc_id", "document_id", *IDS, "url", "slug", "path")
_BODIES = ("text", "content", "body", "detail", "answer", *BODIES)
_LONGEST_FIELD = 500  # characters of a value that can be filtered by


class DocumentColumns(BaseModel):
    """The columns of a table of documents. What is left out is recognised by its usual names; all
    other columns can be filtered by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = Field(default=None, description="Column of the ids. Empty: recognised.")
    title: str | None = Field(default=None, description="Column of the title. Empty: recognised.")
    text: str | None = Field(default=None, description="Column of the text. Empty: recognised.")


@dataclass(frozen=True)
class Document:
    """One document. ``fields``: values by name, as text, that searches may be filtered by.
    ``has_headings``: its text is Markdown, not text in which a line may just begin with ``#``."""

    id: str
    title: str
    text: str
    fields: Mapping[str, list[str]]
    has_headings: bool = False

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all that it says."""
        content = json.dumps([self.title, self.text, self.fields], sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "replace")).digest()


class Documents:
    """Documents of one source. A plain class: Prefect does not walk its texts for futures.

    ``name`` is the lineage, as a corpus has it. ``skipped``: by the id that it would have had, why
    a document could not be read, and what to do; ``notes`` tell the user what had to be decided.
    """

    __slots__ = ("all", "name", "notes", "skipped")

    def __init__(
        self,
        name: str,
        documents: Iterable[Document],
        skipped: Mapping[str, str] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.all = sorted(documents, key=lambda document: document.id)
        self.skipped = dict(skipped or {})
        self.notes = notes


async def load_documents(
    source: str, columns: DocumentColumns | None = None, lineage: str | None = None
) -> Documents:
    """The documents of a source. ``lineage``: what to call it, where its own name is not lasting.

    A file of a folder that cannot be read is skipped and named; so is a row without text. Raises
    InputError when nothing is left, and naming file, row and column for a table that cannot be read
    or whose ids are missing or stand twice; DatabaseUnavailable.
    """
    found = await asyncio.to_thread(_of_path, source)
    if found and columns and any(columns.model_dump().values()):
        raise InputError(f"{source} holds documents, not a table: it has no columns to name.")
    if found is None:
        read = await read_source(source)
        found = _of_table(read.table, columns or DocumentColumns(), read.name, read.notes)
    if not found.all:
        why = "".join(f" {reason}" for reason in [*found.skipped.values()][:3])
        raise InputError(f"{found.name} has no documents.{why} ({', '.join(SUFFIXES)} or a table.)")
    found.name = lineage or found.name
    return found


def _of_path(source: str) -> Documents | None:
    path = Path(source).expanduser().absolute()
    is_one = path.suffix.lower() in SUFFIXES and path.is_file()
    return _of_files(path) if is_one or path.is_dir() else None


def _of_files(path: Path) -> Documents:
    documents, skipped, notes = list[Document](), dict[str, str](), list[str]()
    for file in _below(path) if path.is_dir() else [path]:
        inside = file.relative_to(path) if path.is_dir() else Path(file.name)
        hidden = any(part.startswith(".") for part in inside.parts)
        if hidden or file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        try:
            title, text, decided = read_document(file)
        except InputError as error:
            skipped[inside.as_posix()] = str(error)
            continue
        notes += decided
        folder = inside.parent.as_posix()
        fields = {"type": [file.suffix.lower().lstrip(".")]}
        if folder != ".":
            fields["folder"] = [folder]
        has_headings = file.suffix.lower() in (*MARKDOWN, *HTML)
        documents.append(
            Document(inside.as_posix(), storable(title), storable(text), fields, has_headings)
        )
    return Documents(str(path), documents, skipped, tuple(notes))


def _below(folder: Path) -> list[Path]:
    """What lies in a folder and those in it. Raises InputError for one that cannot be listed: its
    documents would seem to be gone."""

    def fail(error: OSError) -> None:
        raise InputError(
            f"{error.filename} cannot be listed: {error.strerror}. Mend its rights; until then "
            "nothing of the folder is ingested."
        ) from error

    return sorted(
        Path(where, name) for where, _, names in os.walk(folder, onerror=fail) for name in names
    )


def _of_table(
    table: "pd.DataFrame", named: DocumentColumns, name: str, notes: tuple[str, ...]
) -> Documents:
    names = [str(column) for column in table.columns]
    require((named.id, named.title, named.text), names, name)
    text = named.text or first_of(_BODIES, [n for n in names if n not in (named.id, named.title)])
    title = named.title or first_of(TITLES, [n for n in names if n not in (named.id, text)])
    if text is None and title is None:
        raise InputError(
            f"{name}: no column looks like text ({', '.join(names)}). Name it: --text."
        )
    id_ = named.id or first_of(_IDS, [n for n in names if n not in (text, title)])
    if id_ is None and title and table[title].notna().all() and table[title].is_unique:
        id_ = title  # of findings, for one
    others = [n for n in names if n not in (id_, title, text)]
    documents, skipped, seen = list[Document](), dict[str, str](), dict[str, int]()
    for number, row in enumerate(table.to_dict("records"), start=1):
        known = str(row[id_]).strip() if id_ and _values(row[id_]) else ""
        if id_ and not known:
            raise InputError(f"{name}: row {number} has no {id_}. Give every document one.")
        key = storable(known or f"row-{number}")
        if key in seen:
            raise InputError(
                f"{name}: rows {seen[key]} and {number} have the same {id_}, {key!r}. Ids must "
                "differ; name another column with --id."
            )
        seen[key] = number
        heading = " ".join(_values(row[title]))[:_LONGEST_FIELD] if title else ""
        body = "\n\n".join(_values(row[text])) if text else ""
        if not body.strip() and not heading.strip():
            skipped[key] = f"{name}: row {number} ({key}) has no text. Fill it, or take it out."
            continue
        fields = {n: values for n in others if (values := _short(_values(row[n])))}
        documents.append(Document(key, storable(heading), storable(body).strip(), fields))
    return Documents(name, documents, skipped, notes)


def _short(values: list[str]) -> list[str]:
    """Values that can be filtered by: long texts are no filters."""
    return [storable(value) for value in values if 0 < len(value) <= _LONGEST_FIELD]


def _values(value: Any) -> list[str]:
    """A cell as texts: none of an empty one, several of a list."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "ndarray":
        return [text for each in value for text in _values(each)]
    if value is None or value != value or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, dict):
        return [json.dumps(value, sort_keys=True, default=str)]
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value))]
    if isinstance(value, date):
        return [value.isoformat()]
    return [text] if (text := str(value)).strip() else []
