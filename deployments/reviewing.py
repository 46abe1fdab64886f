"""`patterns review` and `reply`: what waits for a person, people's decisions, drafted replies."""

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.review_words import review_line, review_summary, whole_review
from deployments.terminal import (
    AsJson,
    absolute,
    bars,
    run_async,
    run_flow,
    show,
    tell,
    user_name,
    without_a_run,
)
from infra.errors import InputError

if TYPE_CHECKING:
    from tasks.reviews import Review

review = typer.Typer(help="Drafts that wait for a person, and decisions.", no_args_is_help=True)

Number = Annotated[int, typer.Argument(help="Number of the review.")]
Reviewer = Annotated[str | None, typer.Option("--by", help="Your name. Default: the user's.")]
Code = Annotated[str, typer.Option(help="Your one-time code, where the policy asks for it.")]
Seen = Annotated[
    str | None,
    typer.Option("--sha256", help="Hash of the text that you saw, or its first 8 digits or more."),
]


review.callback()(without_a_run)


@review.command("list")
def list_reviews(
    decided: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name the drafts that wait, the oldest first."""
    from tasks.reviews import reviews

    found = run_async(reviews("all" if decided else "waiting"))
    lines = "\n".join(map(review_line, found)) or "Nothing waits for a person."
    show({"reviews": [review_summary(each) for each in found]}, lines, as_json=as_json)


@review.command("show")
def show_review(number: Number, as_json: AsJson = False) -> None:
    """Print a draft, what it rests on, and all that happened to it."""
    from tasks.reviews import read_review

    found = run_async(read_review(number))
    result = review_summary(found) | {
        "text": found.text,
        "material": found.draft.material,
        "evidence": [each.model_dump() for each in found.draft.evidence],
        "events": [each.model_dump(mode="json", exclude={"text"}) for each in found.events],
    }
    show(result, whole_review(found), as_json=as_json)


@review.command("approve")
def approve(
    number: Number,
    by: Reviewer = None,
    code: Code = "",
    seen: Seen = None,
    as_json: AsJson = False,
) -> None:
    """Release a draft. Without --sha256 it is shown and asked about."""
    found = _read(number)
    _decide(found, as_json, {"verdict": "approve", "code": code}, by, _seen(found, seen))


@review.command("reject")
def reject(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why, in words. The next draft is made with them.")],
    reason_code: Annotated[
        str,
        typer.Option("--reason-code", help="Why, in a word: wrong, incomplete, tone, …"),
    ] = "other",
    by: Reviewer = None,
    code: Code = "",
    as_json: AsJson = False,
) -> None:
    """Do not release a draft; it is drafted again as often as the policy allows."""
    from tasks.review_rules import ReasonCode

    known = [each.value for each in ReasonCode if each is not ReasonCode.NONE]
    if reason_code not in known:
        raise InputError(f"There is no reason {reason_code!r}. There are: {', '.join(known)}.")
    said = {"verdict": "reject", "reason": reason, "reason_code": reason_code, "code": code}
    _decide(_read(number), as_json, said, by)


@review.command("edit")
def edit(
    number: Number,
    file: Annotated[
        Path, typer.Option(help="File with the text as it should be; - for standard input.")
    ],
    by: Reviewer = None,
    code: Code = "",
    as_json: AsJson = False,
) -> None:
    """Release a draft as you change it. The text passes the same checks as a model's."""
    text = sys.stdin.read() if str(file) == "-" else _file_text(file)
    _decide(_read(number), as_json, {"verdict": "edit", "text": text, "code": code}, by)


@review.command("invite")
def invite(
    reviewer: Annotated[str, typer.Argument(help="Whom the code is for.")],
    number: Annotated[
        int | None, typer.Option("--review", help="The only review that it is good for.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, max=365, help="How long it is good.")] = 7,
    by: Annotated[str | None, typer.Option("--by", help="Who invites. Default: the user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a one-time code with which a reviewer decides once. It is shown this once."""
    from tasks import decisions

    code, name = run_async(decisions.invite(reviewer, by or user_name(), number, days))
    result = {"code": code, "reviewer": name, "review": number, "days": days}
    show(result, f"Code of {name}, for one decision within {days:g} days: {code}", as_json=as_json)


@review.command("verify")
def verify(as_json: AsJson = False) -> None:
    """Check the whole chain of events; exit status 1 when a row or a draft was tampered with."""
    from tasks import review_chain

    found = run_async(review_chain.verify())
    words = [*found.faults] or [f"{found.events:,} events, each as it was made."]
    show(found.model_dump(mode="json"), "\n".join(words), as_json=as_json)
    if found.faults:
        raise typer.Exit(1)


@review.command("tend")
def tend(as_json: AsJson = False) -> None:
    """Apply deadlines, wake runs that were decided, mend those that died, remind."""
    inbox = run_flow("flows.human_review.tend_reviews")
    lines = [f"review {each.review}: {each.deed}" for each in inbox.tended]
    result = {
        "waiting": [review_summary(each) for each in inbox.waiting],
        "tended": [each.model_dump() for each in inbox.tended],
    }
    words = "\n".join(lines) or f"Nothing to do; {len(inbox.waiting)} wait for people."
    show(result, words, as_json=as_json)


@review.command("examples")
def examples(
    out: Annotated[Path, typer.Option(help="File for them: .jsonl or .parquet.")],
    kind: Annotated[
        str | None, typer.Option(help="Only of one kind, such as prompt:classify_ticket.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write what people decided as labelled examples: inputs, draft, verdict, final text."""
    from tasks import review_examples

    found = run_async(review_examples.examples(kind))
    review_examples.write_examples(found, out)
    verdicts = Counter(each.verdict for each in found)
    words = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    result = {"examples": len(found), "file": str(out), **verdicts}
    show(
        result, f"{len(found)} examples in {out}" + (f": {words}" if words else ""), as_json=as_json
    )


def reply(
    source: Annotated[
        str, typer.Argument(help="A file of tickets, corpus:NAME, sql:FILE or query:SELECT …")
    ],
    collection: Annotated[
        str | None, typer.Option("--collection", help="Knowledge base that replies rest on.")
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=50, help="Replies that one review decides on.")
    ] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first tickets.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for what is released: .csv, .jsonl or .parquet.")
    ] = None,
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the ids.")] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="Columns of the text; may be repeated.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", help="Who asks. Default: the user.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draft replies to tickets, and wait until people released, edited or rejected each."""
    columns = {"id": id_column, "text": tuple(text or ())}
    request = {
        "source": absolute(source),
        "collection": collection,
        "batch": batch,
        "limit": limit,
        "requester": by or user_name(),
        "columns": columns,
        "out": str(out.expanduser().absolute()) if out else None,
    }
    with bars():
        done = run_flow("flows.human_review.draft_replies", request=request)
    words = (
        f"{done.tickets} tickets: {done.released} released, {done.edited} edited, "
        f"{done.rejected} rejected" + (f"; {done.file}" if done.file else "")
    )
    show(done.model_dump(mode="json"), words, as_json=as_json)


def _read(number: int) -> "Review":
    from tasks.reviews import read_review

    return run_async(read_review(number))


def _seen(found: "Review", prefix: str | None) -> str:
    """The hash of the text that the reviewer saw: it is shown, where he does not name it."""
    from tasks.review_chain import digest

    now = digest(found.text)
    if prefix is not None:
        if len(prefix) < 8 or not now.startswith(prefix.lower()):
            raise InputError(
                f"The text of review {found.id} is another: its SHA-256 is {now}. "
                f"Read it with `patterns review show {found.id}`."
            )
        return now
    if found.outcome is None:
        if not sys.stdin.isatty():
            raise InputError(
                f"Say which text you saw: --sha256 {now[:16]}, as "
                f"`patterns review show {found.id}` prints it."
            )
        tell(whole_review(found))
        typer.confirm("Release exactly this text?", abort=True, err=True)
    return now


def _decide(
    found: "Review", as_json: bool, said: dict[str, Any], by: str | None, seen: str | None = None
) -> None:
    from tasks.decisions import decide
    from tasks.review_chain import digest
    from tasks.review_rules import ReviewAnswer

    shown = {"reviewer": by or user_name(), "shown_sha256": seen or digest(found.text)}
    answer = ReviewAnswer.model_validate({**said, **shown})
    decided = run_async(decide(found.id, answer))
    woken = _wake(decided) if decided.outcome else False
    result = review_summary(decided) | {"woken": woken}
    show(result, review_line(decided), as_json=as_json)


def _wake(decided: "Review") -> bool:
    """Make the run go on that waits for the review, where Prefect's server is up."""
    from deployments.server import find_server, use_server
    from infra.settings import get_settings

    home = get_settings().home
    if decided.deployed is False and decided.lapsed:
        tell("The process of its run is gone: `patterns review tend` mends that.")
        return False
    server = find_server(home)
    if server.url is None:
        tell(
            "Prefect's server is down. The decision is kept. After `patterns up` the run goes on "
            "within a quarter of an hour, or at once with `patterns review tend`."
        )
        return False
    use_server(home)
    from tasks.review_wakeup import wake

    rejected = decided.outcome is not None and decided.outcome.kind == "reject"
    if run_async(wake(decided, whatever=rejected)):
        return True
    if decided.deployed is False:
        tell("The decision is kept: its run sees it within seconds.")
    else:
        tell("Its run does not wait for this review just now. The decision is kept.")
    return False


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Name a text file in UTF-8.") from error
