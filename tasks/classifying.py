"""One text, labelled now: by the specialist that serves, or a model where it is not sure."""

import time

from pydantic import BaseModel, ConfigDict, Field

from tasks.routing import By, asked, note_uses, routed_by
from tasks.specialist_serving import serving


class ClassifyRequest(BaseModel):
    """A text to label, and who may: with ``fallback``, a model where the specialist is not sure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1, max_length=100_000)
    name: str | None = None
    specialist: int | None = Field(None, ge=1)
    fallback: bool = True


class Classified(BaseModel):
    """A label, and who decided on it. ``abstained``: nobody was sure, and the label is the
    specialist's guess; ``confidence``: the specialist's in its guess."""

    model_config = ConfigDict(frozen=True)

    label: str
    confidence: float
    decided_by: By
    abstained: bool
    specialist: int
    latency_ms: float


async def classify(request: ClassifyRequest) -> Classified:
    """The label of a text. Raises InputError where nobody serves, AssetError where no specialist
    has its files, ModelUnavailable and ModelRateLimited of the model."""
    started = time.perf_counter()
    specialist, _ = await serving(request.name, request.specialist)
    [found] = await routed_by(specialist, [""], [request.text])
    spent = 1000 * (time.perf_counter() - started)
    await note_uses(specialist, [(request.text, found)], spent)
    if found.by == "nobody" and request.fallback and request.text.strip():
        found = await asked(found, request.text)
    return Classified(
        label=found.label or found.guess,
        confidence=found.confidence,
        decided_by=found.by,
        abstained=found.by == "nobody",
        specialist=specialist.id,
        latency_ms=1000 * (time.perf_counter() - started),
    )
