"""What commands say of reviews."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.reviews import Review


def review_summary(each: "Review") -> dict[str, Any]:
    from tasks.review_chain import digest

    names = {"id", "root_run", "kind", "title", "author", "round", "opened_at"}
    end = each.outcome
    return each.model_dump(mode="json", include=names) | {
        "state": each.state,
        "verdict": end.kind if end else None,
        "reviewer": end.actor if end else None,
        "reason_code": end.reason_code if end else None,
        "reason": end.reason if end else None,
        "approved_by": [*each.approved_by],
        "people": each.policy.people,
        "roles": [*each.roles],
        "deadline": each.deadline.isoformat(),
        "sha256": digest(each.text),
    }


def review_line(each: "Review") -> str:
    return f"{each.id}  {each.opened_at:%Y-%m-%d %H:%M}  {each.title}  {each.state}"


def whole_review(each: "Review") -> str:
    from tasks.review_chain import digest

    parts = [review_line(each)]
    if each.draft.material:
        parts.append(f"It answers:\n{each.draft.material}")
    if each.draft.shown and each.text == each.draft.text:
        parts.append(each.draft.shown)
    parts += [f"{evidence.source}:\n{evidence.quote}" for evidence in each.draft.evidence]
    parts += [each.text, f"SHA-256 {digest(each.text)}"]
    return "\n\n".join(parts)
