"""Tables that people ask to have as a file."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import InputError
from infra.storage import writing

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".jsonl", ".parquet")


def require_writable(out: str | None) -> None:
    """Raise InputError now, not after the work, for a file that cannot be written."""
    if out is None:
        return
    file = Path(out).expanduser()
    if file.suffix not in SUFFIXES:
        raise InputError(f"{file}: its name has to end in one of {', '.join(SUFFIXES)}.")
    if not file.absolute().parent.is_dir():
        raise InputError(f"{file}: its folder does not exist. Make it, or name another.")


def write_table(table: "pd.DataFrame", path: Path) -> None:
    """Write a table as CSV, JSON lines or Parquet, by the name's ending; the file appears whole.

    Raises StorageError.
    """
    path = path.expanduser().absolute()
    with writing(path.parent), tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / path.name
        if path.suffix == ".csv":
            table.to_csv(draft, index=False)
        elif path.suffix == ".jsonl":
            table.to_json(draft, orient="records", lines=True, force_ascii=False)
        else:
            table.to_parquet(draft)
        draft.replace(path)
