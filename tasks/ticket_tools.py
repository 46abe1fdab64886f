"""Tools that read kept corpora: tickets as they are, and how many there are. Code does the sums."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.errors import InputError
from tasks.json_schemas import KEPT
from tasks.kept_corpora import read_records
from tasks.suggestions import did_you_mean
from tasks.tools import tool

if TYPE_CHECKING:
    import pandas as pd

MOST_TICKETS = 50
_LONGEST = 6000  # characters of a ticket

Corpus = Annotated[
    str,
    Field(description="Name of the kept corpus of tickets.", json_schema_extra={KEPT: "corpus"}),
]
Days = Annotated[
    int | None,
    Field(ge=1, description="Only the last so many days, up to the newest ticket. null: all."),
]


class TicketRead(BaseModel):
    """A ticket as it is kept. ``at``: when, in UTC, empty where that is unknown."""

    model_config = ConfigDict(frozen=True)

    id: str
    at: str
    group: str
    text: str


class Count(BaseModel):
    """How many tickets there are of one kind."""

    model_config = ConfigDict(frozen=True)

    name: str
    tickets: int


@tool()
async def read_tickets(
    corpus: Corpus,
    ids: Annotated[
        list[str] | None, Field(description="Ids of the tickets. null: the newest ones.")
    ] = None,
    containing: Annotated[
        str | None, Field(description="Only tickets with all of these words. null: all.")
    ] = None,
    days: Days = None,
    most: Annotated[int, Field(ge=1, le=MOST_TICKETS, description="Most tickets.")] = 10,
) -> list[TicketRead]:
    """Read tickets of a corpus: those of given ids, or the newest, or those with some words."""
    records = within(await _records(corpus), days)
    if ids is not None:
        known = set(records["id"])
        if missing := [each for each in ids if each not in known]:
            near = did_you_mean(missing[0], known)
            raise InputError(f"corpus {corpus} has no ticket {', '.join(missing)}.{near}")
        records = records[records["id"].isin(ids)]
    for word in (containing or "").casefold().split():
        records = records[records["text"].str.casefold().str.contains(word, regex=False)]
    return [_ticket({**row}) for row in records.head(most).to_dict("records")]


@tool()
async def count_tickets(
    corpus: Corpus,
    by: Annotated[
        Literal["group", "day", "week", "month", "total"],
        Field(description="group: the corpus' own grouping, such as the product."),
    ] = "total",
    containing: Annotated[
        str | None, Field(description="Only tickets with all of these words. null: all.")
    ] = None,
    days: Days = None,
) -> list[Count]:
    """Count the tickets of a corpus: in total, by its groups, or by day, week or month."""
    records = within(await _records(corpus), days)
    for word in (containing or "").casefold().split():
        records = records[records["text"].str.casefold().str.contains(word, regex=False)]
    if by == "total":
        return [Count(name="total", tickets=len(records))]
    if by == "group":
        names = records["group"].fillna("without a group").astype(str)
        ranked = sorted(Counter(names).items(), key=lambda each: (-each[1], each[0]))
        return [Count(name=name, tickets=count) for name, count in ranked]
    form = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}[by]
    times = records["happened_at"].dropna().dt.strftime(form)
    return [Count(name=name, tickets=count) for name, count in sorted(Counter(times).items())]


def within(records: "pd.DataFrame", days: int | None) -> "pd.DataFrame":
    """Of records, the newest first, those of the last days up to the newest of them: a corpus that
    has rested for a month still has a last week. Without times there is nothing to choose by."""
    if days is None or records.empty:
        return records
    newest = records["happened_at"].max()
    if newest != newest:  # not a time
        raise InputError("The tickets have no times to choose the last days by. Leave days out.")
    recent: pd.DataFrame = records.loc[records["happened_at"] > newest - timedelta(days=days)]
    return recent


async def _records(corpus: str) -> "pd.DataFrame":
    """The records, the newest first."""
    records, _ = await read_records(corpus.removeprefix("corpus:"))
    places, ways = ["happened_at", "id"], [False, True]
    return records.sort_values(places, ascending=ways, na_position="last")


def _ticket(row: dict[Any, Any]) -> TicketRead:
    at = row["happened_at"]
    return TicketRead(
        id=row["id"],
        at=f"{at:%Y-%m-%d %H:%M}" if at == at else "",
        group=row["group"] or "",
        text=row["text"][:_LONGEST],
    )
