"""How good a specialist is, beside others, and what routing costs:
`python -m benchmarks.specialist DATA …`.

    DATA → parts → specialist | TF-IDF | frozen embeddings | SetFit → accuracy, coverage, ECE, AUROC
    texts → specialist, then a model | all to the model → calls, cost, time

Each DATA is a table with text and label; where it has a column is_oos, those rows are outside, and
where it has a column bot, each bot is a set of its own. All learn from the same parts and are
measured on the same texts, which none has learned from. Where a set has nothing outside, a fifth of
its labels is left out (--leave) and plays the part. TEST (--test) is a further table of the first
set, such as its official test part. SetFit runs in a Python of its own (--setfit PYTHON); routing
needs `--route N`: so many texts of the first set, with a simulated endpoint of one second a call.
Needs scikit-learn besides what training needs.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd

from benchmarks.servers import home, model
from infra.classifier_training import Recipe
from infra.embeddings import embed
from infra.llm import close_door
from tasks.calibration import (
    auroc,
    calibration_error,
    confidences,
    coverage_at,
    temperature,
)
from tasks.labelled_texts import Example, Examples, Part, fit, parted
from tasks.specialist_serving import answers
from tasks.specialist_training import TrainingRequest, carded, fine_tuned
from tasks.specialists import Specialist, register

Parts = dict[Part, tuple[Example, ...]]
Answer = tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]  # classes, and how sure
TARGET = 0.98

_SETFIT = """
import json, sys, time
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
told = json.load(open(sys.argv[1]))
model = SetFitModel.from_pretrained(told["encoder"])
begun = time.monotonic()
data = Dataset.from_dict({"text": told["texts"], "label": told["classes"]})
Trainer(model=model, args=TrainingArguments(max_steps=told["steps"], batch_size=16),
        train_dataset=data).train()
minutes = (time.monotonic() - begun) / 60
json.dump({"minutes": minutes, "chances": model.predict_proba(told["asked"]).tolist()},
          open(sys.argv[2], "w"))
"""


def sets(path: Path, leave: float) -> Iterator[tuple[str, Examples]]:
    """The sets of a table, by name."""
    table = pd.read_parquet(path)
    groups = table.groupby("bot") if "bot" in table else [(path.stem, table)]
    for name, rows in groups:
        outside = rows["is_oos"].astype(bool) if "is_oos" in rows else np.zeros(len(rows), bool)
        left = set[str]()
        if leave and not np.any(outside):
            labels = sorted(rows["label"].unique())
            draw = np.random.default_rng(0)
            left = set(draw.choice(labels, max(1, round(leave * len(labels))), replace=False))
        items = [
            Example(text, label, "row", outside=bool(beyond) or label in left)
            for text, label, beyond in zip(rows["text"], rows["label"], outside, strict=True)
        ]
        yield str(name), fit(str(name), [e for e in items if e.text.strip()])


class Compared:
    """One set, parted, and what those that are compared answer on it."""

    def __init__(self, examples: Examples, outside_is_known: bool) -> None:
        self.labels = examples.labels
        self.parts: Parts = parted(examples)
        if not outside_is_known:  # what is outside is never seen before the test
            beyond = [e for items in self.parts.values() for e in items if e.outside]
            self.parts = {
                part: tuple(e for e in items if not e.outside) for part, items in self.parts.items()
            }
            self.parts["test"] = (*self.parts["test"], *beyond)

    def texts(self, *parts: Part) -> list[str]:
        return [e.text for part in parts for e in self.parts[part] if not e.outside]

    def classes(self, *parts: Part) -> "np.ndarray[Any, Any]":
        place = {label: n for n, label in enumerate(self.labels)}
        said = [place[e.label] for part in parts for e in self.parts[part] if not e.outside]
        return np.array(said)

    @property
    def outside(self) -> list[str]:
        return [e.text for e in self.parts["test"] if e.outside]

    def row(self, of: str, tested: Answer, beyond: Answer, before: float, minutes: float) -> str:
        """A line of figures."""
        classes, sure = tested
        right = classes == self.classes("test")
        told = auroc(sure, beyond[1])
        coverage = coverage_at(sure, right, TARGET)
        outside = "" if told is None else f"  AUROC {told:.4f}"
        return (
            f"{of:42}  accuracy {right.mean():.4f}  at {TARGET:.0%} {coverage:.4f}{outside}"
            f"  ECE {before:.4f} → {calibration_error(sure, right):.4f}  {minutes:.1f} min"
        )


async def specialist(found: Compared, examples: Examples, device: str) -> tuple[Specialist, str]:
    """Ours."""
    request = TrainingRequest(source=examples.source, outside="outside", device=device)  # type: ignore[arg-type]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trained = await fine_tuned(request, found.labels, found.parts, Path(folder))
        card, scope = await carded(request, examples, found.parts, trained, begun)
        kept = (examples.source, examples.sha256, card, trained.folder, scope, found.parts)
        made = await register(examples.source[:60], uuid4(), *kept)
    logits, sure = await answers(made, found.texts("test"))
    beyond = (await answers(made, found.outside))[1] if found.outside else np.empty(0)
    before = calibration_error(
        confidences(logits, 1.0), logits.argmax(axis=1) == found.classes("test")
    )
    figures = card.figures
    told = (logits.argmax(axis=1), sure), (np.empty(0), beyond)
    line = found.row("specialist", *told, before, card.minutes)
    accuracy = figures.acted_on_accuracy
    line += (
        f"\n{'':42}  by itself {figures.acted_on:.1%}, {accuracy or 0:.1%} of it right;"
        f" {card.epochs} epochs of {Recipe().most_epochs(len(found.texts('train')))}"
    )
    return made, line


async def others(found: Compared) -> list[str]:
    """TF-IDF and frozen embeddings, each with logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    words.fit(found.texts("train", "check"))
    tfidf: Callable[[Sequence[str]], Any] = words.transform
    everything = [*found.texts("train", "check", "calibrate", "test"), *found.outside]
    vectors = dict(zip(everything, await embed(everything), strict=True))

    def embedded(texts: Sequence[str]) -> Any:
        return np.stack([vectors[text] for text in texts])

    return [
        _regressed(found, "TF-IDF, logistic regression", tfidf),
        _regressed(found, "frozen embeddings, logistic regression", embedded),
    ]


def _regressed(found: Compared, name: str, read: Callable[[Sequence[str]], Any]) -> str:
    from sklearn.linear_model import LogisticRegression

    begun = time.monotonic()
    fitted = LogisticRegression(C=20, max_iter=2000)
    fitted.fit(read(found.texts("train", "check")), found.classes("train", "check"))
    minutes = (time.monotonic() - begun) / 60

    def logits(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
        if not texts:
            return np.empty((0, len(fitted.classes_)))
        return np.log(fitted.predict_proba(read(texts)) + 1e-12)

    return _row_of(found, name, logits, fitted.classes_, minutes)


def setfit(found: Compared, python: str, steps: int) -> str:
    """SetFit (Tunstall et al. 2022), from the same encoder."""
    from infra.fine_tuning import encoder_folder

    asked = [*found.texts("calibrate", "test"), *found.outside]
    told = {
        "encoder": str(encoder_folder("all-minilm-l6-v2")),
        "texts": found.texts("train", "check"),
        "classes": found.classes("train", "check").tolist(),
        "asked": asked,
        "steps": steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder) / "given.json", Path(folder) / "got.json"
        given.write_text(json.dumps(told))
        subprocess.run([python, "-c", _SETFIT, str(given), str(got)], check=True)
        said = json.loads(got.read_text())
    chances = dict(zip(asked, np.log(np.array(said["chances"]) + 1e-12), strict=True))

    def logits(texts: Sequence[str]) -> "np.ndarray[Any, Any]":
        return np.stack([chances[text] for text in texts]) if texts else np.empty((0, 1))

    classes = np.arange(len(found.labels))
    return _row_of(found, f"SetFit, {steps} steps", logits, classes, said["minutes"])


def _row_of(
    found: Compared,
    name: str,
    logits: Callable[[Sequence[str]], "np.ndarray[Any, Any]"],
    classes: "np.ndarray[Any, Any]",
    minutes: float,
) -> str:
    """The line of one that has logits, with temperature scaling as ours begins with."""
    place = {label: n for n, label in enumerate(classes)}
    truth = np.array([place.get(each, 0) for each in found.classes("calibrate")])
    heat = temperature(logits(found.texts("calibrate")), truth)
    tested, beyond = logits(found.texts("test")), logits(found.outside)
    said = classes[tested.argmax(axis=1)]
    before = calibration_error(confidences(tested, 1.0), said == found.classes("test"))
    outside = confidences(beyond, heat) if len(beyond) else np.empty(0)
    told = (said, confidences(tested, heat)), (np.empty(0), outside)
    return found.row(name, *told, before, minutes)


async def speed(made: Specialist, texts: Sequence[str]) -> str:
    """Milliseconds a decision, in batch and one by one."""
    await answers(made, texts[:50])
    begun = time.perf_counter()
    await answers(made, texts)
    batch = 1000 * (time.perf_counter() - begun) / len(texts)
    single = list[float]()
    for text in texts[:300]:
        begun = time.perf_counter()
        await answers(made, [text])
        single.append(1000 * (time.perf_counter() - begun))
    p50, p95 = np.quantile(single, [0.5, 0.95])
    return f"a decision: {batch:.2f} ms in batch; one by one p50 {p50:.1f} ms, p95 {p95:.1f} ms"


async def official(made: Specialist, path: Path) -> str:
    """A further table of the first set."""
    table = pd.read_parquet(path)
    logits, sure = await answers(made, table["text"].tolist())
    right = np.array(made.card.labels)[logits.argmax(axis=1)] == table["label"].to_numpy()
    return (
        f"{path.name}: accuracy {right.mean():.4f}, at {TARGET:.0%} "
        f"{coverage_at(sure, right, TARGET):.4f} of {len(table)}"
    )


async def routed(made: Specialist, texts: Sequence[str], endpoint: str) -> list[str]:
    """Texts by specialist and model, beside all by the model."""
    from flows.specialist import route_tickets
    from infra.settings import get_settings
    from tasks.routing import RouteRequest

    os.environ |= {
        "PATTERNS_CHAT_MODEL": "openai:sim",
        "PATTERNS_CHAT_BASE_URL": f"{endpoint}/v1",
        "PATTERNS_PRICES": '{"openai:sim": [0.4, 1.6]}',
    }
    get_settings.cache_clear()
    lines = list[str]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        pd.DataFrame({"id": range(len(texts)), "text": texts}).to_csv(file, index=False)
        alone = made.model_copy(
            update={
                "card": made.card.model_copy(
                    update={"threshold": made.card.threshold.model_copy(update={"value": 2.0})}
                )
            }
        )
        model_only = await _twin(alone)
        for name, number in (("specialist, then model", made.id), ("all to the model", model_only)):
            begun = time.monotonic()
            request = RouteRequest(source=str(file), specialist=number, people=False)
            done = await route_tickets(request)
            cost = sum(stage.cost_usd or 0 for stage in done.stages)
            calls = sum(stage.calls for stage in done.stages if stage.stage == "model")
            lines.append(
                f"{name}: {done.by_specialist} by the specialist, {calls} calls of the model, "
                f"{cost:.4f} USD, {time.monotonic() - begun:.1f} s"
            )
    return lines


async def _twin(changed: Specialist) -> int:
    """The same specialist, registered once more, sure of nothing."""
    from infra.classifier_training import TOKENIZER
    from infra.fine_tuning import MODEL
    from tasks.confidence import Scope
    from tasks.specialists import SCOPE, read_examples

    with tempfile.TemporaryDirectory() as folder:
        for name in (MODEL, TOKENIZER):
            (Path(folder) / name).write_bytes((changed.folder / name).read_bytes())
        scope, parts = Scope.load(changed.folder / SCOPE), read_examples(changed)
        kept = (changed.source, changed.data_sha256, changed.card, Path(folder), scope, parts)
        return (await register(f"{changed.name[:50]}-unsure", uuid4(), *kept)).id


async def measured(given: argparse.Namespace, endpoint: str) -> None:
    try:
        first: tuple[Specialist, Compared] | None = None
        for path in given.data:
            for name, examples in sets(path, given.leave):
                known = "is_oos" in pd.read_parquet(path) and any(e.outside for e in examples.items)
                found = Compared(examples, outside_is_known=bool(known and given.know))
                print(
                    f"\n{name}: {len(found.labels)} labels, {len(found.texts('train'))} texts to "
                    f"learn from, {len(found.texts('test'))} tested, {len(found.outside)} outside",
                    flush=True,
                )
                for line in await others(found):
                    print(line, flush=True)
                if given.setfit:
                    print(setfit(found, given.setfit, given.steps), flush=True)
                made, line = await specialist(found, examples, given.device)
                print(line, flush=True)
                print(await speed(made, found.texts("train")[:2000]), flush=True)
                first = first or (made, found)
        if first and given.test:
            print(await official(first[0], given.test), flush=True)
        if first and given.route:
            texts = [*first[1].texts("test"), *first[1].texts("train")][: given.route]
            print("\n".join(await routed(first[0], texts, endpoint)), flush=True)
    finally:
        await close_door()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--test", type=Path, help="A further table of the first set.")
    parser.add_argument("--leave", type=float, default=0.2, help="Share of labels left out.")
    parser.add_argument("--know", action="store_true", help="Learn from what is outside, too.")
    parser.add_argument("--setfit", help="A Python that has SetFit.")
    parser.add_argument("--steps", type=int, default=1500, help="Of SetFit.")
    parser.add_argument("--route", type=int, default=0, help="Texts to route.")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    with home(named=True), model(1.0) as endpoint:
        asyncio.run(measured(given, endpoint))


if __name__ == "__main__":
    main()
