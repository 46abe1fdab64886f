"""Tickets that are forgotten, taken out of what specialists keep of the texts that they learn from.

What a specialist has learned stays: there are no words in it.
"""

import asyncio
import shutil
from pathlib import Path

from prefect import task

from infra.postgres import Jsonb, fetch
from infra.settings import get_settings
from infra.storage import writing
from tasks.forgetting import Forgetting
from tasks.runs import RETRIED
from tasks.specialists import EXAMPLES, file_sha256, folder_of

_NEW = f".{EXAMPLES}"  # beside the file, until it takes its place


@task(name="forget in specialists", **RETRIED)
async def forget_in_specialists(forgetting: Forgetting) -> dict[str, int]:
    """Drop the texts of tickets from the examples of each specialist; how many.

    Raises StorageError.
    """
    root, count = get_settings().home / "specialists", 0
    await asyncio.to_thread(_drop_unfinished, root, forgetting)
    for row in await fetch("all_specialists"):
        folder = folder_of(row["id"], row["root_run"])
        if not (folder / EXAMPLES).is_file():
            continue
        gone = await asyncio.to_thread(_without, folder, forgetting)
        if gone:
            # The hash is there before the file is: who is killed in between leaves the old file,
            # and the next one does the same again.
            files = {EXAMPLES: file_sha256(folder / _NEW)}
            await fetch("replace_file_hash", {"id": row["id"], "files": Jsonb(files)})
            with writing(folder):
                (folder / _NEW).replace(folder / EXAMPLES)
        count += gone
    return {"examples": count}


def _without(folder: Path, forgetting: Forgetting) -> int:
    """Write the examples without the tickets' beside them, where they have some; how many."""
    import pandas as pd

    table = pd.read_parquet(folder / EXAMPLES)
    own = table["text"].map(forgetting.own.are_in).astype(bool)
    with writing(folder):
        if own.any():
            table[~own].reset_index(drop=True).to_parquet(folder / _NEW)
        else:
            (folder / _NEW).unlink(missing_ok=True)
    return int(own.sum())


def _drop_unfinished(root: Path, forgetting: Forgetting) -> None:
    """Drop folders with texts of tickets whose specialists never came to be registered: their
    training was killed."""
    import pandas as pd

    for file in root.glob(f".*/{EXAMPLES}"):
        try:
            texts = pd.read_parquet(file)["text"]
        except (OSError, ValueError):  # it was killed while this was written
            texts = None
        if texts is None or texts.map(forgetting.own.are_in).any():
            with writing(root):
                shutil.rmtree(file.parent)
