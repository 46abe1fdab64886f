"""What commands say of specialists: their cards, comparisons, routed texts."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.routing_results import RoutingDone
    from tasks.specialist_comparison import Comparison
    from tasks.specialists import Specialist


def card_of(found: "Specialist") -> dict[str, Any]:
    card = found.card
    return {
        "id": found.id,
        "name": found.name,
        "accuracy": card.figures.accuracy,
        "coverage_at_target": card.figures.coverage_at_target,
        "ece": card.figures.ece,
        "seconds": round(60 * card.minutes, 1),
        "target": card.target,
        "threshold": card.threshold.model_dump(),
        "labels": len(card.labels),
        "texts": sum(card.parts.values()),
        "figures": card.figures.model_dump(),
        "source": found.source,
        "data_sha256": found.data_sha256,
        "encoder": card.encoder,
        "teacher": card.teacher,
        "epochs": card.epochs,
        "device": card.device,
        "notes": [*card.notes],
        "made_at": found.made_at.isoformat(),
    }


def specialist_words(found: "Specialist") -> str:
    card, of = found.card, found.card.figures
    lines = [
        specialist_line(found, serves=False),
        f"accuracy {of.accuracy:.1%} ({of.interval[0]:.1%} to {of.interval[1]:.1%}) on {of.texts:,}"
        " texts that it has not learned from",
        f"at {card.target:.0%} accuracy it could answer {of.coverage_at_target:.1%}; with its "
        f"certified threshold it answers {of.acted_on:.1%} by itself",
        f"calibration error {of.ece:.3f} (before: {of.ece_before:.3f})",
    ]
    if of.outside_auroc is not None:
        lines.append(f"texts that no label fits are told from others with {of.outside_auroc:.3f}")
    return "\n".join([*lines, f"`patterns specialist promote {found.id}` lets it serve."])


def specialist_line(found: "Specialist", *, serves: bool) -> str:
    card = found.card
    return (
        f"{found.id}  {found.name}{'  serves' if serves else ''}  {card.figures.accuracy:.1%}, "
        f"{len(card.labels)} labels, {sum(card.parts.values()):,} texts, {found.made_at:%Y-%m-%d}"
    )


def comparison_words(found: "Comparison") -> str:
    low, high = found.difference_interval
    other = f"specialist {found.champion.specialist}" if found.champion else "the commonest label"
    by_itself = [
        f"Specialist {each.specialist} answers {each.acted_on:.1%} by itself"
        + ("" if each.acted_on_accuracy is None else f", {each.acted_on_accuracy:.1%} rightly")
        + f", for a target of {each.target:.0%}; it could answer {each.coverage_at_target:.1%}."
        for each in (found.challenger, found.champion)
        if each
    ]
    left = {
        "the champion has learned from": found.known,
        "people were asked about": found.asked,
    }
    out = [f"{count} texts are left out, which {why}." for why, count in left.items() if count]
    difference = (
        f"Specialist {found.challenger.specialist} is right on {found.challenger.accuracy:.1%} of "
        f"{found.texts:,} texts, {other} on {found.challenger.accuracy - found.difference:.1%}: "
        f"{100 * found.difference:+.1f} points (95 % interval {100 * low:+.1f} to "
        f"{100 * high:+.1f})."
    )
    return "\n".join([*filter(None, [found.damage]), difference, *by_itself, *out])


def routing_words(done: "RoutingDone") -> str:
    lines = [
        f"{count:,} of {done.texts:,} by {who}"
        for who, count in (
            (f"specialist {done.specialist}", done.by_specialist),
            ("a model", done.by_model),
            ("people", done.by_person),
            ("nobody", done.by_nobody),
        )
        if count
    ]
    return "\n".join([*lines, *([f"The labels are in {done.file}."] if done.file else [])])
