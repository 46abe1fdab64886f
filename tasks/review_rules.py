"""The rules that a reviewer's answer has to keep, in words for the reviewer."""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from tasks.review_checks import edit_fault
from tasks.reviews import Review


class Verdict(StrEnum):
    """What a reviewer can say."""

    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"


class ReasonCode(StrEnum):
    """Why a draft is rejected, in a word that can be counted."""

    NONE = "none"
    WRONG = "wrong"
    INCOMPLETE = "incomplete"
    UNSUPPORTED = "unsupported"
    TONE = "tone"
    UNSAFE = "unsafe"
    NOT_WANTED = "not wanted"
    OTHER = "other"


class ReviewAnswer(BaseModel):
    """What a reviewer says to a draft. ``text``: of an edit; ``code``: the one-time code;
    ``shown_sha256``: hash (hex) of the text that was seen."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    reviewer: str
    reason_code: ReasonCode = ReasonCode.NONE
    reason: str = ""
    text: str = ""
    code: str = ""
    shown_sha256: str

    @property
    def code_sha256(self) -> str:
        """SHA-256 (hex) of the code, which is kept nowhere itself."""
        return hashlib.sha256(self.code.strip().upper().encode()).hexdigest()


def known_name(name: str, reviewers: Mapping[str, Sequence[str]]) -> str:
    """The reviewer's name as the list spells it; as it is, where there is no list."""
    spelled = {known.casefold(): known for known in reviewers}
    return spelled.get(name.strip().casefold(), name.strip())


def fault_of(answer: ReviewAnswer, review: Review, text_sha256: str) -> str | None:
    """The rule that an answer breaks; None when it breaks none. Codes are judged elsewhere.

    ``text_sha256``: hash of the text as it is now.
    """
    return (
        _fault_of_reviewer(answer, review)
        or _fault_of_words(answer, review)
        or (
            "The text was edited meanwhile: read it again."
            if answer.shown_sha256 != text_sha256
            else None
        )
    )


def _fault_of_reviewer(answer: ReviewAnswer, review: Review) -> str | None:
    reviewers = review.allowed
    name = known_name(answer.reviewer, reviewers)
    if not name:
        return "Say who you are."
    if reviewers and name not in reviewers:
        return f"{name} is not in the list of reviewers (PATTERNS_REVIEWERS)."
    if review.roles and not {*review.roles} & {*reviewers.get(name, ())}:
        return f"{name} has none of the roles that decide here: {', '.join(review.roles)}."
    if name.casefold() == review.author.strip().casefold():
        return f"{name} asked for this draft: somebody else has to decide on it."
    approved = {each.casefold() for each in review.approved_by}
    if answer.verdict is Verdict.APPROVE and name.casefold() in approved:
        return f"{name} has approved this text already: another person has to."
    return None


def _fault_of_words(answer: ReviewAnswer, review: Review) -> str | None:
    if answer.verdict is Verdict.REJECT:
        if answer.reason_code is ReasonCode.NONE:
            return "A rejection needs a reason's code."
        return None if answer.reason.strip() else "A rejection needs a reason in words."
    if answer.verdict is Verdict.EDIT:
        if not answer.text.strip():
            return "An edit needs the text as it should be."
        if answer.text == review.text:
            return "The edited text is the draft itself: approve it."
        fault = edit_fault(review.kind, answer.text, review.draft.inputs)
        return f"The edited text fails its checks. {fault}" if fault else None
    if answer.text.strip():
        return "A text was given without being asked for: choose edit, or leave it empty."
    return None
