"""The labelled sets of `benchmarks.specialist`, and the figures of whoever answers on them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.calibration import auroc, calibration_error, confidences, coverage_at, temperature
from tasks.labelled_texts import Example, Examples, Part, fit, parted

TARGET = 0.98
Array = np.ndarray[Any, Any]


def sets(path: Path, leave: float) -> Iterator[Examples]:
    """The sets of a table, each with texts outside: those that the column is_oos names, or, of a
    bot, those of some of its labels, a share of ``leave``."""
    table = pd.read_parquet(path)
    groups = table.groupby("bot") if "bot" in table else [(path.stem, table)]
    for name, rows in groups:
        outside = rows["is_oos"].astype(bool) if "is_oos" in rows else np.zeros(len(rows), bool)
        left = set[str]()
        if "bot" in table and not np.any(outside):
            labels = sorted(rows["label"].unique())
            drawn = np.random.default_rng(0)
            left = set(drawn.choice(labels, max(1, round(leave * len(labels))), replace=False))
        items = [
            Example(text, label, "row", outside=bool(beyond) or label in left)
            for text, label, beyond in zip(rows["text"], rows["label"], outside, strict=True)
        ]
        yield fit(str(name), [each for each in items if each.text.strip()])


class Compared:
    """One set, parted: all who are compared learn from the same texts and are measured on the same.
    What is outside is seen in the test alone."""

    def __init__(self, examples: Examples) -> None:
        self.labels = examples.labels
        inside = Examples(examples.source, tuple(e for e in examples.items if not e.outside))
        self.parts: dict[Part, tuple[Example, ...]] = parted(inside)
        beyond = [each for each in examples.items if each.outside]
        self.parts["test"] = (*self.parts["test"], *beyond)

    def texts(self, *parts: Part) -> list[str]:
        """The texts that have a label."""
        return [each.text for part in parts for each in self.parts[part] if not each.outside]

    def classes(self, part: Part) -> Array:
        """The number of each one's label."""
        place = {label: number for number, label in enumerate(self.labels)}
        return np.array([place[e.label] for e in self.parts[part] if not e.outside])

    @property
    def outside(self) -> list[str]:
        """The texts that no label fits."""
        return [each.text for each in self.parts["test"] if each.outside]

    def told(self) -> str:
        """What the set is."""
        return (
            f"{len(self.labels)} labels, {len(self.texts('train')):,} texts to learn from, "
            f"{len(self.texts('check')):,} to check by, {len(self.texts('test')):,} tested, "
            f"{len(self.outside)} outside"
        )

    def row(self, who: str, logits: Array, sure: Array, beyond: Array, minutes: float) -> str:
        """A line of figures, of logits (tested, labels) and confidences inside and outside."""
        right = logits.argmax(axis=1) == self.classes("test")
        told = auroc(sure, beyond)
        outside = "" if told is None else f"  AUROC {told:.3f}"
        before = calibration_error(confidences(logits, 1.0), right)
        return (
            f"{who:40}  accuracy {right.mean():.3f}  at {TARGET:.0%} "
            f"{coverage_at(sure, right, TARGET):.3f}{outside}  ECE {before:.3f} → "
            f"{calibration_error(sure, right):.3f}  {minutes:.1f} min"
        )

    def row_of_peer(self, who: str, logits: Array, minutes: float) -> str:
        """The line of one that has logits of the checked, the tested and the outside texts, in this
        order: made sure by temperature scaling, which ours begins with."""
        checked, tested = len(self.texts("check")), len(self.texts("test"))
        heat = temperature(logits[:checked], self.classes("check"))
        inside, beyond = logits[checked : checked + tested], logits[checked + tested :]
        sure = confidences(inside, heat)
        outside = confidences(beyond, heat) if len(beyond) else np.empty(0)
        return self.row(who, inside, sure, outside, minutes)


def asked(found: Compared) -> Sequence[str]:
    """The texts that peers are asked about, as `Compared.row_of_peer` takes them."""
    return [*found.texts("check", "test"), *found.outside]
