"""How drafts of one kind are reviewed, as settings say it."""

import hashlib
import json
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Expiry = Literal["reject", "escalate", "approve"]


class ReviewPolicy(BaseModel):
    """Who decides, how many of them, how long it may take, and what happens then.

    ``roles``: a reviewer has one of them; none: whoever may review at all. ``expires_after`` and
    ``remind_after``: hours. An escalated review waits as long again, for ``escalate_to``, and is
    then rejected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_rounds: int = Field(3, ge=1, le=20)
    people: int = Field(1, ge=1, le=5)
    roles: tuple[str, ...] = ()
    codes: bool = False
    expires_after: float = Field(720, gt=0, le=87_600)
    on_expiry: Expiry = "reject"
    escalate_to: tuple[str, ...] = ()
    remind_after: float = Field(24, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.people > 1 and not self.codes:
            raise ValueError("several people need codes: without them a name is a claim")
        if (self.on_expiry == "escalate") != bool(self.escalate_to):
            raise ValueError("on_expiry is escalate exactly where escalate_to names roles")
        return self

    @property
    def version(self) -> str:
        """First 12 digits of the SHA-256 of what the policy says."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:12]
