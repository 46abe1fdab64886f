"""The sample data of an invented company, put where the forms of the deployments look for it: a
kept corpus, tables of judged questions and of labelled tickets, records that may be changed."""

from pathlib import Path
from typing import Any

from infra.errors import InputError
from infra.postgres import Jsonb, fetch, transaction
from infra.sql import queries
from tasks.change_rules import current_rules, register, set_up
from tasks.columns import Columns
from tasks.corpus import load_corpus
from tasks.kept_corpora import add_records, list_corpora
from tasks.tables import read_table

CORPUS = "support"
COLLECTIONS = {"help": "knowledge_base", "support": f"corpus:{CORPUS}"}
"""Collections of documents, and the source of each: a folder of the samples, or another."""
_NEEDED = ("tickets.csv", "tickets_truth.csv", "knowledge_base", "crm")


async def put_samples(folder: Path, by: str) -> list[str]:
    """Put there what is not there yet; names of what was put. Nothing of the user's is replaced.

    Raises InputError for a folder that holds other things.
    """
    if lacking := [name for name in _NEEDED if not (folder / name).exists()]:
        raise InputError(f"{folder} holds no samples: it lacks {', '.join(lacking)}.")
    done = await _tables(folder)
    if CORPUS not in {each.name for each in await list_corpora()}:
        columns = Columns(group_by="product")
        await add_records(CORPUS, await load_corpus(str(folder / "tickets.csv"), columns))
        done.append(f"corpus:{CORPUS}")
    if not await _has_rules():
        await set_up(folder / "crm" / "schema.sql")
        await register(folder / "crm" / "rules.yaml", by)
        done.append("the records crm.*, and rules for changing them")
    return done


async def _has_rules() -> bool:
    try:
        await current_rules()
    except InputError:
        return False
    return True


async def _tables(folder: Path) -> list[str]:
    labels = {row["id"]: row["theme"] for row in _rows(folder / "tickets_truth.csv")}
    tickets = [
        {"id": row["id"], "text": f"{row['subject']}\n\n{row['body']}", "label": labels[row["id"]]}
        for row in _rows(folder / "tickets.csv")
    ]
    wanted = {
        "questions": _rows(folder / "knowledge_base_questions.csv"),
        "answers": _rows(folder / "knowledge_base_answers.csv"),
        "labelled_tickets": [row for row in tickets if row["label"] != "none"],
    }
    await fetch("make_samples")
    done = []
    for name, rows in wanted.items():
        async with transaction() as connection:
            await connection.execute(queries()[f"make_sample_{name}"])
            added = await connection.execute(queries()[f"add_sample_{name}"], {"rows": Jsonb(rows)})
        if added.rowcount:
            done.append(f"samples.{name}")
    return done


def _rows(path: Path) -> list[dict[str, Any]]:
    table, _ = read_table(path)
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
