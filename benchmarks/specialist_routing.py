"""What routing costs and takes: the part of `benchmarks.specialist` with a model's endpoint."""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pandas as pd

from infra.classifier_model import TOKENIZER
from infra.fine_tuning import MODEL
from tasks.calibration import NEVER
from tasks.confidence import Scope
from tasks.specialists import SCOPE, Specialist, read_examples, register

_PRICES = (0.4, 1.6)  # USD a million tokens of prompt and reply


async def routed(made: Specialist, texts: Sequence[str], endpoint: str) -> list[str]:
    """Texts by specialist and model, beside all by the model: a line each."""
    from flows.specialist import route_tickets
    from infra.settings import get_settings
    from tasks.routing import RouteRequest

    lines = list[str]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        pd.DataFrame({"id": range(len(texts)), "text": texts}).to_csv(file, index=False)
        for name, number in (
            ("specialist, then model", made.id),
            ("all to the model", await _unsure(made)),
        ):
            # A model of its own for each: nothing is answered by what the other has paid for.
            chat = f"openai:for-{number}-{uuid4()}"
            os.environ |= {
                "PATTERNS_CHAT_MODEL": chat,
                "PATTERNS_CHAT_BASE_URL": f"{endpoint}/v1",
                "PATTERNS_PRICES": json.dumps({chat: _PRICES}),
            }
            get_settings.cache_clear()
            began = time.monotonic()
            request = RouteRequest(source=str(file), specialist=number, people=False)
            done = await route_tickets(request)
            cost = sum(stage.cost_usd or 0 for stage in done.stages)
            calls = sum(stage.calls for stage in done.stages if stage.stage == "model")
            lines.append(
                f"{name}: {done.by_specialist:,} of {done.texts:,} by the specialist, {calls:,} "
                f"calls of the model, {cost:.4f} USD, {time.monotonic() - began:.1f} s"
            )
    return lines


async def _unsure(made: Specialist) -> int:
    """The same specialist, registered once more, sure of nothing."""
    never = made.card.threshold.model_copy(update={"value": NEVER})
    card = made.card.model_copy(update={"threshold": never})
    with tempfile.TemporaryDirectory() as folder:
        for name in (MODEL, TOKENIZER):
            (Path(folder) / name).write_bytes((made.folder / name).read_bytes())
        scope, parts = Scope.load(made.folder / SCOPE), read_examples(made)
        kept = (made.source, made.data_sha256, card, Path(folder), scope, parts)
        return (await register(f"{made.name[:50]}-unsure", uuid4(), *kept)).id
