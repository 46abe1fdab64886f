"""Whether what comes in is still what a specialist was trained on: by week, from its decisions."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import numpy as np
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, ConfigDict, Field
from scipy.stats import chi2

from infra.errors import InputError
from infra.postgres import fetch
from tasks.markdown import escaped, table
from tasks.plots import ACCENT, WARNING, panels, picture
from tasks.runs import RETRIED
from tasks.specialist_serving import champion, known_name
from tasks.specialists import read_examples

_SHIFTED = 0.25  # a population stability index from which on a mix counts as another (Siddiqi 2006)
_CHANCE = 0.99  # how seldom chance alone is to make as much of it
_LEAST = 0.005  # share of a label, so that none is endless
_SHOWN = 8  # labels that a table names


class DriftRequest(BaseModel):
    """Whose decisions are looked at, and how far back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        description="Whose specialist. Empty: the only name there is.",
        json_schema_extra={"position": 0},
    )
    weeks: int = Field(
        12, ge=1, le=520, description="Weeks to look back on.", json_schema_extra={"position": 1}
    )


class Week(BaseModel):
    """A week, by its Monday: texts, mean confidence, share that the specialist was not sure of, the
    population stability index of its labels against those that it was trained on, and how much of
    that so few texts may have by chance."""

    model_config = ConfigDict(frozen=True)

    monday: date
    texts: int
    confidence: float
    unsure: float
    shift: float
    by_chance: float


class Drift(BaseModel):
    """The weeks in which something was decided, the oldest first; ``labels``: share in the last
    week and in training, by label, those first that differ most."""

    model_config = ConfigDict(frozen=True)

    name: str
    specialist: int
    weeks: tuple[Week, ...]
    labels: dict[str, tuple[float, float]]

    @property
    def is_shifted(self) -> bool | None:
        """Whether the last week's labels are of another mix, by more than chance; None where
        nothing was decided."""
        if not self.weeks:
            return None
        return self.weeks[-1].shift >= max(_SHIFTED, self.weeks[-1].by_chance)

    @property
    def words(self) -> str:
        """What is found, in a sentence or two."""
        if self.is_shifted is None:
            return f"Nothing was decided for {self.name} in this time. `patterns route` decides."
        if self.is_shifted:
            return (
                "The last week's labels are of another mix than those it was trained on. Label "
                "some of what comes in, and retrain."
            )
        return "The last week's labels are of the mix that it was trained on."


@task(name="measure drift", **RETRIED)
async def drift(request: DriftRequest) -> Drift:
    """What was decided by week, against what the champion was trained on; no weeks where nothing
    was. Raises InputError where nobody serves."""
    name = await known_name(request.name)
    holder = await champion(name)
    if holder is None:
        raise InputError(f"No specialist for {name} serves. Promote one first.")
    since = datetime.now(UTC) - timedelta(weeks=request.weeks)
    rows = await fetch("decisions_by_week", {"name": name, "since": since})
    if not rows:
        return Drift(name=name, specialist=holder.id, weeks=(), labels={})
    parts = read_examples(holder).values()
    trained = Counter(each.label for items in parts for each in items if not each.outside)
    weeks, last = list[Week](), Counter[str]()
    for monday in dict.fromkeys(row["week"] for row in rows):
        of_week = [row for row in rows if row["week"] == monday]
        last = Counter({row["label"]: row["decisions"] for row in of_week})
        texts = last.total()
        sure = sum(row["confidence"] * row["decisions"] for row in of_week) / texts
        acted = sum(row["by_specialist"] for row in of_week) / texts
        weeks.append(
            Week(
                monday=monday,
                texts=texts,
                confidence=sure,
                unsure=1 - acted,
                shift=stability(trained, last),
                by_chance=chance(trained, last),
            )
        )
    now, then = _shares(last, trained), _shares(trained, trained)
    apart = sorted(then, key=lambda label: -abs(now[label] - then[label]))
    return Drift(
        name=name,
        specialist=holder.id,
        weeks=tuple(weeks),
        labels={label: (now[label], then[label]) for label in apart[:_SHOWN]},
    )


def stability(expected: Counter[str], found: Counter[str]) -> float:
    """The population stability index of two mixes: 0 for the same."""
    labels = sorted({*expected, *found})
    a = np.maximum([expected[label] / expected.total() for label in labels], _LEAST)
    b = np.maximum([found[label] / found.total() for label in labels], _LEAST)
    return float(((b - a) * np.log(b / a)).sum())


def chance(expected: Counter[str], found: Counter[str]) -> float:
    """The index that two draws of one mix, as large as these, exceed once in a hundred times (about
    chi-squared: Yurdakul & Naranjo 2020, "Statistical properties of the population stability
    index")."""
    freedom = max(1, len({*expected, *found}) - 1)
    spread = 1 / max(1, expected.total()) + 1 / max(1, found.total())
    return float(spread * chi2.ppf(_CHANCE, freedom))


@task(name="publish drift", cache_policy=NO_CACHE, persist_result=False)
async def publish_drift(found: Drift) -> None:
    """Leave the report on the run's page."""
    await acreate_markdown_artifact(
        drift_markdown(found), key="drift", description="What comes in, by week"
    )


def drift_markdown(found: Drift) -> str:
    """The weeks as a table and a plot, and the labels whose share has moved most."""
    said = f"**{found.words}**" if found.is_shifted else escaped(found.words)
    said = f"Specialist {found.specialist} for {escaped(found.name)}. {said}"
    if not found.weeks:
        return f"{said}\n"
    rows = [
        (
            f"{week.monday}",
            f"{week.texts:,}",
            f"{week.confidence:.3f}",
            f"{week.unsure:.1%}",
            f"{week.shift:.3f}",
            f"{week.by_chance:.3f}",
        )
        for week in found.weeks
    ]
    moved = [
        (escaped(label), f"{now:.1%}", f"{then:.1%}") for label, (now, then) in found.labels.items()
    ]
    head = ("Week of", "Texts", "Mean confidence", "Not sure", "Shift of labels", "By chance up to")
    return (
        f"{said}\n\n{_plot(found)}\n\n"
        f"{table(head, 'lrrrrr', rows)}\n\n"
        f"{table(('Label', 'Last week', 'In training'), 'lrr', moved)}\n"
    )


def _plot(found: Drift) -> str:
    figure, (left, right) = panels(2)
    mondays = [f"{week.monday:%d %b}" for week in found.weeks]
    left.plot(mondays, [week.confidence for week in found.weeks], "o-", color=ACCENT)
    left.set_title("mean confidence", fontsize=8)
    right.plot(mondays, [week.unsure for week in found.weeks], "o-", color=WARNING)
    right.set_title("share it is not sure of", fontsize=8)
    for axes in (left, right):
        axes.tick_params(axis="x", rotation=45)
        axes.set_ylim(0, 1.02)
    return picture(figure, "Confidence and what is not sure, by week")


def _shares(counts: Counter[str], labels: Counter[str]) -> dict[str, float]:
    return {label: counts[label] / max(1, counts.total()) for label in labels}
