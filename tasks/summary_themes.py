"""The themes of a finished summary, the largest first."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from tasks.findings import Figures

MostThemes = Annotated[int, Field(ge=1, le=50, description="Most themes.")]


class Theme(BaseModel):
    """A problem that tickets share, with all of them."""

    model_config = ConfigDict(frozen=True)

    title: str
    detail: str
    severity: str
    count: int
    ticket_ids: list[str]
    quotes: list[str]


async def largest_themes(figures: Figures, most: int) -> list[Theme]:
    """The largest themes that a summary has found, and rare ones where there are no more."""
    return await asyncio.to_thread(_read, str(figures.findings_file), most)


def _read(path: str, most: int) -> list[Theme]:
    import pandas as pd

    found = pd.read_parquet(path).sort_values("count", ascending=False, kind="stable")
    return [
        Theme(
            title=row["title"],
            detail=row["detail"],
            severity=row["severity"] or "",
            count=row["count"],
            ticket_ids=list(row["ticket_ids"]),
            quotes=list(row["quotes"]),
        )
        for row in found.head(most).to_dict("records")
    ]
