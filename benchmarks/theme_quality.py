"""Whether themes are what people call a topic, keep what is rare, and come out of any half alike.

All of it is the strategy `embed` without a model: the codebook that a summary would make of these
texts, and the theme of each. What a model then says of close themes moves little; both ends are
printed: none of them the same, and all of them.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.label_measures import k_means, v_measure, ward
from tasks.codebook import RARE, Codebook, assign
from tasks.embedding import vectors
from tasks.facts import fact_id
from tasks.fitting import fit
from tasks.merging import close_pairs, merge

TOP = 20  # themes that a reader sees first
FEW = 10  # texts of a planted theme


class Themes(NamedTuple):
    """The theme of each text (n,), RARE where it has none, with its vector (n, d)."""

    codebook: Codebook
    leaves: Any
    vectors: Any
    merged: Any  # themes, were all close ones the same

    @property
    def counts(self) -> Counter[int]:
        """Texts by theme."""
        return Counter(leaf for leaf in self.leaves.tolist() if leaf != RARE)

    def centre(self, leaf: int) -> Any:
        """Mean of a theme's texts, at unit length."""
        mean = self.vectors[self.leaves == leaf].mean(axis=0)
        return mean / np.linalg.norm(mean)


async def themes_of(texts: Sequence[str]) -> Themes:
    """What a summary would group the texts into."""
    ids = [fact_id(hashlib.sha256(text.encode()).hexdigest(), 0) for text in texts]
    found = (await vectors(texts, quiet=True)).astype(np.float32)
    codebook = fit(ids, found)
    leaves = assign(codebook, ids, found)
    present = set(leaves.tolist()) - {RARE}
    merged = merge(codebook, close_pairs(codebook, present), present)
    return Themes(codebook, leaves, found, assign(merged, ids, found))


async def grouping(name: str, table: pd.DataFrame) -> list[str]:
    """Themes against labels, beside k-means that knows how many there are, and Ward."""
    labels = list(table["label"])
    themes = await themes_of(list(table["text"]))
    count, rare = len(themes.counts), int((themes.leaves == RARE).sum())
    known, all_ = len(set(labels)), count + rare
    merged = len(set(themes.merged.tolist()) - {RARE})
    scores = {
        f"ours, {count} themes and {rare} rare": themes.leaves,
        f"ours, all close themes merged: {merged}": themes.merged,
        f"k-means, told that there are {known}": k_means(themes.vectors, known),
        f"Ward over all, cut at {known}": ward(themes.vectors, known),
        f"Ward over all, cut at {all_}": ward(themes.vectors, all_),
    }
    lines = [f"  V-measure {v_measure(labels, of):.4f}  {who}" for who, of in scores.items()]
    return [f"{name}: {len(labels)} texts, {known} labels", *lines]


async def rare_themes(table: pd.DataFrame, others: pd.DataFrame, planted: int) -> list[str]:
    """What becomes of themes of ten texts, planted in all the texts of a table: labels of another
    table, and labels of the same one of which ten texts are left."""
    draw = np.random.default_rng(0)
    few = draw.choice(sorted(others["label"].unique()), planted, replace=False)
    far = [others[others["label"] == label].head(FEW) for label in few]
    lines = [await _planted("labels of the other table", table, pd.concat(far))]
    few = draw.choice(sorted(table["label"].unique()), planted, replace=False)
    near = [table[table["label"] == label].head(FEW) for label in few]
    rest = table[~table["label"].isin(few)]
    return [*lines, await _planted("labels of the same table", rest, pd.concat(near))]


async def _planted(name: str, table: pd.DataFrame, few: pd.DataFrame) -> str:
    both = pd.concat([table, few])
    labels = both["label"].to_numpy()
    themes = await themes_of(list(both["text"]))
    planted = sorted(few["label"].unique())
    fates = {label: fate(themes.leaves, labels, label) for label in planted}
    told = Counter(fates.values())
    swallowed = ", ".join(label for label, where in fates.items() if where == "under others")
    flat = k_means(themes.vectors, len(themes.counts), starts=1)
    beside = Counter(fate(flat, labels, label) for label in planted)
    lost = len(both) - sum(themes.counts.values()) - int((themes.leaves == RARE).sum())
    return (
        f"{told.total()} themes of {FEW} in {len(both)}, {name}: {told['own']} a theme of their "
        f"own, {told['rare']} rare, {told['under others']} under others ({swallowed}); "
        f"{lost} texts are lost. k-means with as many groups: {beside['own']} of their own"
    )


def fate(leaves: Any, labels: Any, label: str) -> str:
    """Where most texts of a label are: in a theme that is mostly theirs (``own``), in no theme
    (``rare``), or ``under others``."""
    own = labels == label
    half = own.sum() / 2
    if (leaves[own] == RARE).sum() > half:
        return "rare"
    theirs = 0
    for leaf in set(leaves[own].tolist()) - {RARE}:
        members = leaves == leaf
        if own[members].mean() >= 0.5:
            theirs += int((members & own).sum())
    return "own" if theirs + int((leaves[own] == RARE).sum()) >= half else "under others"


def skewed(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Texts of a table, so many of each label as topics have in a real corpus: that of rank r has
    r to the power of -0.7 of the first one's. Labels of a public set are often equally large."""
    largest = float(table["label"].value_counts().quantile(0.75))
    order = table["label"].drop_duplicates().sample(frac=1, random_state=seed)
    wanted = {label: largest / rank**0.7 for rank, label in enumerate(order, 1)}
    mixed = table.sample(frac=1, random_state=seed)
    place = mixed.groupby("label").cumcount()
    return mixed[place < mixed["label"].map(wanted)]


async def halves(table: pd.DataFrame, seed: int) -> str:
    """Whether the largest themes of a random half are those of the other."""
    from scipy.optimize import linear_sum_assignment

    mixed = table.sample(frac=1, random_state=seed)
    middle = len(mixed) // 2
    rows = [mixed.iloc[:middle], mixed.iloc[middle:]]
    first, second = [await themes_of(list(half["text"])) for half in rows]
    top = [leaf for leaf, _ in first.counts.most_common(TOP)]
    every = [leaf for leaf, _ in second.counts.most_common()]
    similar = np.array([[first.centre(a) @ second.centre(b) for b in every] for a in top])
    twins = {top[a]: every[b] for a, b in zip(*linear_sum_assignment(-similar), strict=True)}
    cosines = [float(first.centre(a) @ second.centre(b)) for a, b in twins.items()]
    near = sum(1 - cosine <= first.codebook.radius / 2 for cosine in cosines)
    same = sum(
        _majority(rows[0], first, a) == _majority(rows[1], second, b) for a, b in twins.items()
    )
    labels = [Counter(half["label"]) for half in rows]
    alike = {label: label for label, _ in labels[0].most_common(TOP)}
    return (
        f"halves of {middle}, cut by seed {seed}: {len(first.counts)} and {len(second.counts)} "
        f"themes. Of the top {len(top)}, {near} have a twin within half the radius (mean cosine "
        f"{np.mean(cosines):.3f}), {same} with the same label in most texts. "
        f"{_ranks(first.counts, second.counts, twins)}; "
        f"the labels themselves: {_ranks(*labels, alike)}"
    )


def _ranks(one: Counter[Any], other: Counter[Any], twins: dict[Any, Any]) -> str:
    """How alike the largest of one half and their twins in the other are in size."""
    from scipy.stats import spearmanr

    top = {name for name, _ in other.most_common(TOP)}
    counts = [(one[first], other[second]) for first, second in twins.items()]
    rank = spearmanr(*zip(*counts, strict=True)).statistic
    also = sum(twin in top for twin in twins.values())
    return f"{also} twins in the other's top {TOP}, rank correlation of counts {rank:.2f}"


def _majority(table: pd.DataFrame, themes: Themes, leaf: int) -> str:
    return str(Counter(table["label"].to_numpy()[themes.leaves == leaf]).most_common(1)[0][0])
