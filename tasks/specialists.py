"""The registry of specialists: what each is, and where its files are.

A specialist is a row in PostgreSQL and a folder of files, whose hashes stand in the row. The files
are there before the row is: there is never half a specialist.
"""

import asyncio
import hashlib
import shutil
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from infra.classifier_recipe import Recipe
from infra.errors import AssetError, InputError
from infra.fine_tuning import NOBODY
from infra.postgres import Jsonb, fetch, transaction
from infra.settings import get_settings
from infra.sql import queries
from infra.storage import private_directory, writing
from tasks.calibration import Threshold
from tasks.confidence import Confidence, Scope
from tasks.labelled_texts import NONE, Example, Part
from tasks.specialist_figures import Figures

EXAMPLES = "examples.parquet"  # what it was trained and measured on, in its folder
SCOPE = "scope.npz"  # where the texts that it has learned from lie


class Card(BaseModel):
    """What there is to know of a specialist besides its model.

    ``outside``: the label of texts that none of its labels fits, None where its data had none;
    ``target``: the accuracy that its threshold is to reach; ``parts``: how many texts each had;
    ``epochs``: that it learned for; ``minutes``: that it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    outside: str | None
    encoder: str
    teacher: str = NOBODY  # of those that were made before there was one
    recipe: Recipe
    confidence: Confidence
    target: float
    threshold: Threshold
    parts: dict[Part, int]
    notes: tuple[str, ...]
    epochs: int
    device: str
    minutes: float
    figures: Figures


class Specialist(BaseModel):
    """A specialist as it is registered."""

    model_config = ConfigDict(frozen=True)

    id: int
    name: str
    root_run: UUID
    source: str
    data_sha256: str
    code: str
    card: Card
    files: dict[str, str]
    made_at: datetime

    @property
    def none(self) -> str:
        """The label of texts that none of its labels fits."""
        return self.card.outside or NONE

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return folder_of(self.id, self.root_run)


async def register(
    name: str,
    root_run: UUID,
    source: str,
    data_sha256: str,
    card: Card,
    model: Path,
    scope: Scope,
    parts: dict[Part, tuple[Example, ...]],
) -> Specialist:
    """Keep a specialist that was trained by a run; once for a run. ``model``: folder that
    `infra.fine_tuning` has made. Raises StorageError."""
    staging = private_directory(_root()) / f".{root_run}"
    await asyncio.to_thread(_stage, staging, model, scope, parts)
    files = {each.name: file_sha256(each) for each in sorted(staging.iterdir())}
    row = {
        **{"name": name, "root_run": root_run, "source": source, "data_sha256": data_sha256},
        **{"code": version("llm-pattern-flows"), "card": Jsonb(card.model_dump(mode="json"))},
        "files": Jsonb(files),
    }
    async with transaction() as connection:
        kept = await (await connection.execute(queries()["keep_specialist"], row)).fetchone()
        assert kept
        with writing(_root()):
            staging.rename(folder_of(kept["id"], root_run))
    return await read_specialist(kept["id"])


async def specialists(name: str | None = None) -> list[Specialist]:
    """All of them, or those of a name, the newest first."""
    rows = await fetch("specialists", {"name": name, "id": None, "root_run": None})
    return [Specialist.model_validate(row) for row in rows]


async def trained_by(root_run: UUID) -> Specialist | None:
    """The specialist that a run has trained, if it did already."""
    rows = await fetch("specialists", {"name": None, "id": None, "root_run": root_run})
    return Specialist.model_validate(rows[0]) if rows else None


async def read_specialist(number: int) -> Specialist:
    """One of them. Raises InputError for a number that none has."""
    rows = await fetch("specialists", {"name": None, "id": number, "root_run": None})
    if not rows:
        raise InputError(f"There is no specialist {number}. `patterns specialist list` has them.")
    return Specialist.model_validate(rows[0])


def damage(specialist: Specialist, *only: str) -> str:
    """A word on a file that is gone, or is not the one that was registered; '' where all are whole.
    ``only``: the names of files that are looked at, else all."""
    for name in only or specialist.files:
        file = specialist.folder / name
        if not file.is_file():
            return f"Specialist {specialist.id} lacks its file {file}."
        if file_sha256(file) != specialist.files[name]:
            return (
                f"{file} of specialist {specialist.id} was altered: its SHA-256 is no longer the "
                "registered one."
            )
    return ""


def require_files(specialist: Specialist, *only: str) -> None:
    """Raise AssetError where there is `damage`."""
    if said := damage(specialist, *only):
        raise AssetError(f"{said} Put the file back, or train and promote another.")


def _stage(
    staging: Path, model: Path, scope: Scope, parts: dict[Part, tuple[Example, ...]]
) -> None:
    import pandas as pd

    rows = [{**vars(each), "part": part} for part, examples in parts.items() for each in examples]
    with writing(staging.parent):
        shutil.rmtree(staging, ignore_errors=True)
        shutil.copytree(model, staging)
        scope.save(staging / SCOPE)
        pd.DataFrame(rows).to_parquet(staging / EXAMPLES)


def read_examples(specialist: Specialist) -> dict[Part, tuple[Example, ...]]:
    """What a specialist was trained and measured on, by part, whatever else of it is damaged.

    Raises AssetError where just these texts are.
    """
    import pandas as pd

    require_files(specialist, EXAMPLES)
    table = pd.read_parquet(specialist.folder / EXAMPLES)
    found: dict[Part, list[Example]] = {}
    for row in table.to_dict("records"):
        part = row.pop("part")
        found.setdefault(part, []).append(Example(**{str(k): v for k, v in row.items()}))
    return {part: tuple(each) for part, each in found.items()}


def folder_of(number: int, root_run: UUID) -> Path:
    """Where the files of a specialist are: named after its run too, as numbers begin anew in each
    database."""
    return _root() / f"{number}-{root_run}"


def _root() -> Path:
    return get_settings().home / "specialists"


def file_sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
