"""Specialists as people read them: figures in words, tables and pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.calibration import NEVER, accuracy_by_coverage, confidences, reliability
from tasks.markdown import escaped, table
from tasks.plots import ACCENT, PALE, WARNING, panels, picture
from tasks.runs import RETRIED
from tasks.specialist_serving import answers
from tasks.specialists import Specialist, read_examples

if TYPE_CHECKING:
    from tasks.calibration import Bools, Floats, Ints
    from tasks.specialist_comparison import Comparison, Measured

_CONFUSED = 12  # pairs of labels that a table names
_COUNTED = 12  # most labels whose matrix has numbers
_DRAWN = 40  # most labels of which the matrix is drawn, those that are most often confused


@task(name="publish specialist", **RETRIED)
async def publish_specialist(specialist: Specialist) -> None:
    """Leave what a specialist is and how good on the run's page."""
    tested = [each for each in read_examples(specialist)["test"] if not each.outside]
    logits, sure = await answers(specialist, [each.text for each in tested])
    labels = specialist.card.labels
    truth = np.array([labels.index(each.label) for each in tested], dtype=np.int64)
    plain = confidences(logits, 1.0)
    text = "\n\n".join(
        [
            card_markdown(specialist),
            curves(plain, sure, logits.argmax(axis=1) == truth, specialist.card.target),
            *confusion(labels, truth, logits.argmax(axis=1)),
        ]
    )
    await acreate_markdown_artifact(
        text + "\n", key="specialist", description=f"Specialist {specialist.id}"
    )


@task(name="publish comparison", cache_policy=NO_CACHE, persist_result=False)
async def publish_comparison(found: "Comparison") -> None:
    """Leave a comparison on the run's page."""
    await acreate_markdown_artifact(
        comparison_markdown(found), key="comparison", description="Champion and challenger"
    )


def card_markdown(specialist: Specialist) -> str:
    """What a specialist is, what it was made from, and its figures."""
    card, of = specialist.card, specialist.card.figures
    threshold = (
        "No threshold is certified to reach that: it decides nothing by itself."
        if card.threshold.value >= NEVER
        else f"Above a confidence of {card.threshold.value:.3f} it decides by itself: "
        f"{of.acted_on:.1%} of the tested texts, {_share(of.acted_on_accuracy)} of them rightly "
        f"(certified at 95 %: at least {_share(card.threshold.certified)})."
    )
    lines = [
        f"**Specialist {specialist.id}** for {escaped(specialist.name)}, trained on "
        f"{escaped(specialist.source)}: {len(card.labels)} labels, {card.parts['train']:,} texts, "
        f"{card.epochs} epochs, {card.minutes:.1f} minutes on {card.device}.",
        f"Accuracy **{of.accuracy:.1%}** on {of.texts:,} texts that it has not learned from (95 % "
        f"interval {of.interval[0]:.1%} to {of.interval[1]:.1%}). At an accuracy of "
        f"{card.target:.0%} it could answer **{of.coverage_at_target:.1%}** of them. {threshold}",
        f"Calibration error {of.ece_before:.3f} before, **{of.ece:.3f}** after calibration "
        f"(temperature {card.confidence.temperature:.2f}).",
    ]
    if of.outside_auroc is not None:
        lines.append(
            f"Of {of.outside} texts that no label fits it would act on "
            f"{_share(of.outside_acted_on)}; its confidence tells them from others with an AUROC "
            f"of **{of.outside_auroc:.3f}**."
        )
    lines += [f"- {escaped(note)}" for note in card.notes]
    data, code = specialist.data_sha256[:12], specialist.code
    encoders = f"encoder {escaped(card.encoder)}, teacher {escaped(card.teacher)}"
    lines.append(f"Data `{data}`, {encoders}, code {code}.")
    return "\n\n".join(lines)


def comparison_markdown(found: "Comparison") -> str:
    """Champion and challenger side by side."""
    low, high = found.difference_interval
    rows = [("Challenger", *_measured(found.challenger))]
    if found.champion:
        rows.append(("Champion", *_measured(found.champion)))
    else:
        rows.append(("The commonest label, always", "", f"{found.commonest:.1%}", *[""] * 5))
    head = (
        *("", "Specialist", "Accuracy", "95 % interval", "Target", "Could answer at it"),
        *("Its threshold lets through", "Right of that"),
    )
    left = {
        "the champion has learned from them": found.known,
        "people were asked about them, for want of its sureness": found.asked,
    }
    told = "".join(f" {n} others were left out: {why}." for why, n in left.items() if n)
    damaged = f"{escaped(found.damage)}\n\n" if found.damage else ""
    return (
        f"{damaged}**{escaped(found.name)}**, on {found.texts:,} texts that neither has learned "
        f"from.{told}\n\n{table(head, 'lrrrrrrr', rows)}\n\nThe challenger is right on "
        f"**{100 * found.difference:+.1f} points** of them (95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f}).\n"
    )


def curves(before: "Floats", after: "Floats", right: "Bools", target: float) -> str:
    """Reliability before and after calibration, and accuracy by coverage beside the target, as a
    picture."""
    figure, (left, middle) = panels(2)
    left.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for sure, colour, name in ((before, WARNING, "before"), (after, ACCENT, "after")):
        points = reliability(sure, right)
        left.plot([p[0] for p in points], [p[1] for p in points], "o-", color=colour, label=name)
    left.set_xlabel("confidence", fontsize=8)
    left.set_ylabel("accuracy", fontsize=8)
    left.legend(fontsize=8, frameon=False)
    coverage, accuracy = accuracy_by_coverage(after, right)
    middle.axhline(target, color=PALE, linewidth=1, label=f"target {target:.0%}")
    middle.plot(coverage, accuracy, color=ACCENT)
    middle.legend(fontsize=8, frameon=False, loc="lower left")
    middle.set_xlabel("share of the texts, the surest first", fontsize=8)
    middle.set_ylabel("accuracy", fontsize=8)
    middle.set_ylim(max(0.0, min(float(accuracy.min()), target) - 0.02), 1.005)
    return picture(figure, "Reliability, and accuracy by coverage")


def confusion(labels: Sequence[str], truth: "Ints", said: "Ints") -> list[str]:
    """What is taken for what: a picture of the matrix, and the pairs that are confused most."""
    matrix = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(matrix, (truth, said), 1)
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    worst = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:_DRAWN]
    shown = np.sort(worst)
    figure, (axes,) = panels(1)
    seen, faults = matrix[np.ix_(shown, shown)], wrong[np.ix_(shown, shown)]
    axes.imshow(np.log1p(np.diag(np.diag(seen))), cmap="Blues")
    most = np.log1p(seen.max())
    axes.imshow(np.ma.masked_equal(np.log1p(faults), 0), cmap="Oranges", vmin=-1, vmax=most)
    for row, column in np.argwhere(seen) if len(shown) <= _COUNTED else ():
        shade = "white" if row == column else "black"
        count = str(seen[row, column])
        axes.text(column, row, count, ha="center", va="center", fontsize=8, color=shade)
    axes.set_xlabel("said", fontsize=8)
    axes.set_ylabel("label", fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda pair: -wrong[pair])[:_CONFUSED]
    rows = [(escaped(labels[a]), escaped(labels[b]), str(wrong[a, b])) for a, b in pairs]
    few = "" if len(labels) <= _DRAWN else f" of the {_DRAWN} labels that are confused most"
    drawn = picture(figure, f"Confusion matrix{few}, in the order of the alphabet; orange: wrong")
    return [drawn, table(("Label", "Said", "Texts"), "llr", rows)] if rows else [drawn]


def _measured(one: "Measured") -> tuple[str, ...]:
    low, high = one.interval
    return (
        str(one.specialist),
        f"{one.accuracy:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{one.target:.0%}",
        f"{one.coverage_at_target:.1%}",
        f"{one.acted_on:.1%}",
        _share(one.acted_on_accuracy),
    )


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
