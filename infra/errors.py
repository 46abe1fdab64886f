"""Every error that this project raises on purpose, in one tree.

    PatternsError
    ├── SettingsError            a setting is missing, contradictory or out of range
    ├── InputError               a file, row, field or argument from outside is bad
    │   └── DecisionRefused      a reviewer's answer breaks a rule; the review waits on
    ├── AssetError               a model file or binary cannot be fetched or fails its hash
    ├── EmbeddedServerError      an embedded server does not start, or died
    ├── StorageError             a directory of ours cannot be written (full, read-only)
    ├── DatabaseError            PostgreSQL refused a statement
    │   └── DatabaseUnavailable  · PostgreSQL cannot be reached or is shutting down
    ├── WebhookError           · the program that is told of reviews did not take it
    ├── ModelError               a call to a model came to nothing
    │   ├── ModelUnavailable     · no answer: connection, time-out, 5xx
    │   ├── ModelRateLimited     · 429 until patience ran out
    │   ├── ModelRejected        the endpoint refuses every such request: key, name, parameters
    │   ├── ModelRefused         the model declined to answer this request
    │   ├── ReplyTruncated       the reply hit its token limit
    │   ├── ContextOverflow      the request is longer than the model's context
    │   └── ReplyMalformed       the reply does not fit its schema, also when asked again
    ├── BudgetSpent              a run used up its calls, tokens or money
    ├── WorkIncomplete           a run lost more of its work than was allowed
    ├── PlanRefused              no plan for a goal passes its checks, or there can be none
    ├── ProposalRefused          a proposed change breaks a rule; nothing was written
    └── ReviewRefused            a draft was rejected, or nobody decided in time

· marks the transient ones: the same call may succeed later, so Prefect tasks retry on them alone.
A message says what happened and, after it, what to do next.
"""

from collections.abc import Iterable


class PatternsError(Exception):
    """Root of the tree."""

    transient = False


class SettingsError(PatternsError):
    """A setting is missing, contradictory or out of range; the message names it."""


class InputError(PatternsError):
    """Input from outside is bad; the message names file, row and field where there are any."""


class DecisionRefused(InputError):
    """A reviewer's answer breaks a rule. Nothing is decided; the review waits on, if it did."""


class AssetError(PatternsError):
    """A model file or a binary cannot be fetched, or is not the one that was expected."""


class EmbeddedServerError(PatternsError):
    """An embedded server (PostgreSQL, local model, Prefect) does not start, or died."""


class StorageError(PatternsError):
    """A directory of ours cannot be written: disk full, read-only, no permission."""


class DatabaseError(PatternsError):
    """PostgreSQL refused a statement."""


class DatabaseUnavailable(DatabaseError):
    """PostgreSQL cannot be reached, or is shutting down."""

    transient = True


class WebhookError(PatternsError):
    """The program that is to be told of something did not take it."""

    transient = True


class ModelError(PatternsError):
    """A call to a model came to nothing.

    ``endpoint_down``: no other call to the model was answered either, while this one was tried.
    """

    endpoint_down = False


class ModelUnavailable(ModelError):
    """The endpoint gave no answer: connection, time-out, 5xx."""

    transient = True


class ModelRateLimited(ModelError):
    """The endpoint kept answering 429 until patience ran out.

    ``retry_after``: seconds that the server asked for, if it did.
    """

    transient = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelRejected(ModelError):
    """The endpoint refuses every request like this one: wrong key, unknown model, bad parameter."""


class ModelRefused(ModelError):
    """The model declined to answer (content filter or refusal)."""


class ReplyTruncated(ModelError):
    """The reply ended at its token limit (``finish_reason=length``)."""


class ContextOverflow(ModelError):
    """The request is longer than the model's context."""


class ReplyMalformed(ModelError):
    """The reply does not fit its schema, although it was asked for again with the error.

    ``said``: the reply.
    """

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class BudgetSpent(PatternsError):
    """A run used up its budget of calls, tokens or money. What was done is kept."""


class WorkIncomplete(PatternsError):
    """A run lost more of its work than was allowed. What was done is kept."""


class PlanRefused(PatternsError):
    """No plan for a goal passes its checks, or the planner sees no way. No tool was called."""


class ProposalRefused(PatternsError):
    """A proposed change breaks a rule, or no longer fits the records. Nothing was written.

    ``faults``: each rule that is broken, in words that hold no values of records.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "Nothing was written. " + " ".join(f"{fault.rstrip('.')}." for fault in self.faults)
        )


class ReviewRefused(PatternsError):
    """A draft was not released: people rejected it, or nobody decided in time."""
