"""`patterns prompt` and `patterns prompts`: the prompt service at the terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from deployments.terminal import AsJson, run_async, run_flow, show, tell, user_name, without_a_run
from infra.errors import InputError

if TYPE_CHECKING:
    from tasks.prompt_cases import CaseResult
    from tasks.prompt_labels import Move
    from tasks.replay import Replayed

prompts = typer.Typer(help="The prompt files.", no_args_is_help=True)


prompts.callback()(without_a_run)


def prompt(
    name: Annotated[str, typer.Argument(help="Name of the prompt; see `patterns prompts list`.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="One input, as NAME=VALUE.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose reply nobody else is given.")] = "",
    review: Annotated[
        bool, typer.Option("--review", help="Wait until a person releases the reply in the UI.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer from one named prompt."""
    given = dict(_pair(text) for text in inputs or [])
    request = {"prompt": name, "inputs": given, "tenant": tenant, "review": review}
    answer = run_flow("flows.prompt_service.answer_prompt", request=request)
    result = answer.model_dump(
        include={"reply", "prompt", "version", "served_by", "latency_ms", "cost_usd"}
    )
    show(result, answer.reply, as_json=as_json)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--input")
    return name, value


@prompts.command("list")
def list_(as_json: AsJson = False) -> None:
    """The prompts, what they are for and what they take."""
    from tasks.prompts import file_prompt, prompt_names

    found = [file_prompt(name) for name in prompt_names()]
    result = {"prompts": [p.model_dump(include={"name", "purpose", "inputs"}) for p in found]}
    lines = [f"{p.name} ({', '.join(p.inputs)}): {p.purpose}" for p in found]
    show(result, "\n".join(lines), as_json=as_json)


@prompts.command("show")
def show_(name: str, as_json: AsJson = False) -> None:
    """One prompt: everything that the model is told, and how it is asked."""
    from tasks.prompts import file_prompt

    found = file_prompt(name)
    fixed = "\n\n".join(f"[{part}]\n{text.strip()}" for part, text in found.fixed_text.items())
    filled = f"reply fills {found.reply_model.__name__}" if found.reply_model else "reply is text"
    words = (
        f"{found.purpose}\nversion {found.version}, model {found.model}, {filled}, at most "
        f"{found.max_tokens} tokens; inputs: {', '.join(found.inputs)}"
        f"\n\n{fixed}\n\n[message]\n{found.message}"
    )
    result = {**found.model_dump(mode="json"), "version": found.version, **found.content}
    show(result, words, as_json=as_json)


@prompts.command("lint")
def lint(as_json: AsJson = False) -> None:
    """Count each prompt's tokens; fail on one over its budget, without cases, or an unused part.

    Of a prompt that is too long it is said what it is to be split into.
    """
    from tasks.prompt_lint import lint_all

    found = lint_all()
    lines = [
        f"{'✗' if each.faults else '✓'} {each.prompt}: {each.total} of {each.budget} tokens "
        f"({', '.join(f'{part} {tokens}' for part, tokens in each.tokens.items())})"
        + "".join(f"\n    {fault}" for fault in each.faults)
        for each in found
    ]
    result = {"prompts": [{**each.model_dump(mode="json"), "total": each.total} for each in found]}
    show(result, "\n".join(lines), as_json=as_json)
    raise typer.Exit(1 if any(each.faults for each in found) else 0)


@prompts.command("test")
def run_the_cases(
    names: Annotated[list[str] | None, typer.Argument(help="Prompts. None: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the prompts' cases against their models; fail when one does not pass."""
    from tasks.prompt_cases import run_cases
    from tasks.prompts import file_prompt, prompt_names
    from tasks.runs import together

    async def run() -> "list[list[CaseResult]]":
        tested = [file_prompt(name) for name in names or prompt_names()]
        return await together(run_cases(prompt) for prompt in tested)

    results = [result for several in run_async(run()) for result in several]
    failed = sum(not result.passed for result in results)
    summary = {"passed": len(results) - failed, "failed": failed}
    show({**summary, "cases": _as_json(results)}, _case_lines(results), as_json=as_json)
    raise typer.Exit(1 if failed else 0)


@prompts.command("diff")
def diff(
    name: str,
    earlier: Annotated[
        str, typer.Option("--from", help="A label, the beginning of a version, a Git revision.")
    ],
    as_json: AsJson = False,
) -> None:
    """Run the file's cases on an earlier version and on the file: the replies side by side."""
    from tasks.prompt_cases import run_cases
    from tasks.prompt_labels import earlier_version
    from tasks.prompts import file_prompt
    from tasks.runs import together

    async def run() -> "list[list[CaseResult]]":
        now = file_prompt(name)
        before = await earlier_version(name, earlier)
        if not now.cases:
            raise InputError(f"The prompt {name} has no cases to compare by.")
        return await together(run_cases(each, now.cases) for each in (before, now))

    before, now = run_async(run())
    pairs = list(zip(before, now, strict=True))
    if before[0].version == now[0].version:
        tell(f"Nothing differs: {earlier} and the file are both {now[0].version[:12]}.")
    lines = [
        f"case {old.case}\n  {_mark(old)} {earlier}: {old.reply}\n"
        f"  {_mark(new)} the file: {new.reply}"
        for old, new in pairs
    ]
    result = {"prompt": name, "from": before[0].version, "to": now[0].version}
    sides = [{"from": _as_json([old])[0], "to": _as_json([new])[0]} for old, new in pairs]
    show({**result, "cases": sides}, "\n".join(lines), as_json=as_json)


@prompts.command("replay")
def replay(
    row: Annotated[int | None, typer.Option("--row", help="A row of the ledger.")] = None,
    run: Annotated[UUID | None, typer.Option("--run", help="A run: all of its calls.")] = None,
    version: Annotated[
        str | None, typer.Option(help="A label, the beginning of a version, a Git revision.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Another model, as provider:model.")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask calls of the ledger again, on another version or model: the replies side by side."""
    if (row is None) == (run is None):
        raise typer.BadParameter("Name either a row or a run.", param_hint="--row, --run")
    from tasks import replay
    from tasks.runs import charged

    async def again() -> "list[Replayed]":
        async with charged():
            return await replay.replay(row, run, version, model)

    done = run_async(again())
    calls = [{**each.model_dump(mode="json"), "same": each.same} for each in done]
    lines = [
        f"row {each.row}, {each.prompt}{': the same' if each.same else ''}"
        + "".join(
            f"\n  {side.version[:12]} {side.model}: {side.failed or side.reply}"
            for side in (each.then, each.now)
        )
        for each in done
    ]
    same, failed = sum(each.same for each in done), sum(bool(each.now.failed) for each in done)
    counts = {"same": same, "changed": len(done) - same - failed, "failed": failed}
    show({**counts, "calls": calls}, "\n".join(lines), as_json=as_json)
    raise typer.Exit(1 if failed else 0)


@prompts.command("calls")
def calls(
    prompt: Annotated[str | None, typer.Option(help="Only of this prompt.")] = None,
    run: Annotated[UUID | None, typer.Option(help="Only of this run.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest rows of the ledger, which `replay` takes: calls and hits, the newest first."""
    from tasks.replay import newest_uses

    found = run_async(newest_uses(prompt, run, limit))
    lines = [
        f"row {use.row}, {use.at:%Y-%m-%d %H:%M:%S}, {use.prompt} {use.version[:12]}, "
        f"{use.error or use.served_by}, {use.latency_ms:,.0f} ms"
        + (f", run {use.run}" if use.run else "")
        for use in found
    ]
    result = {"calls": [use.model_dump(mode="json") for use in found]}
    show(result, "\n".join(lines) or "No calls.", as_json=as_json)


Label = Annotated[str, typer.Option("--label", help="The label that moves.")]
Who = Annotated[str | None, typer.Option("--by", help="Who moves it. Default: the user's name.")]


@prompts.command("promote")
def promote(
    name: str, label: Label = "production", by: Who = None, as_json: AsJson = False
) -> None:
    """Make a label name the file's version, when its cases pass."""
    from tasks import prompt_labels
    from tasks.prompt_cases import run_cases
    from tasks.prompts import file_prompt

    who = by or user_name()

    async def run() -> "tuple[list[CaseResult], list[Move], Move | None]":
        prompt = file_prompt(name)
        if not prompt.cases:
            raise InputError(f"The prompt {name} has no cases, so nobody knows whether it is good.")
        results = await run_cases(prompt)
        before = await prompt_labels.history(name)
        if any(not result.passed for result in results):
            return results, before, None
        return results, before, await prompt_labels.promote(prompt, label, who, len(results))

    results, before, move = run_async(run())
    tell(_case_lines(results))
    if move is None:
        raise InputError(
            f"The label {label} of {name} stays where it was: "
            f"{sum(not result.passed for result in results)} of {len(results)} cases do not pass."
        )
    moved, line = move not in before, _move_line(name, move)
    words = line if moved else f"{label} of {name} names this version already. {line}"
    result = {"prompt": name, "moved": moved, **move.model_dump(mode="json")}
    show(result, words, as_json=as_json)


@prompts.command("rollback")
def rollback(
    name: str, label: Label = "production", by: Who = None, as_json: AsJson = False
) -> None:
    """Make a label name the version that it named before."""
    from tasks.prompt_labels import roll_back

    move = run_async(roll_back(name, label, by or user_name()))
    show({"prompt": name, **move.model_dump(mode="json")}, _move_line(name, move), as_json=as_json)


@prompts.command("history")
def history(name: str, as_json: AsJson = False) -> None:
    """Every move of a prompt's labels, the newest last: who, when, from where to where."""
    from tasks import prompt_labels

    moves = run_async(prompt_labels.history(name))
    lines = [f"{move.moved_at:%Y-%m-%d %H:%M} {_move_line(name, move)}" for move in moves]
    result = {"prompt": name, "moves": [move.model_dump(mode="json") for move in moves]}
    show(result, "\n".join(lines) or "No label was moved yet.", as_json=as_json)


def _as_json(results: "Sequence[CaseResult]") -> list[dict[str, object]]:
    return [{**each.model_dump(mode="json"), "passed": each.passed} for each in results]


def _case_lines(results: "Sequence[CaseResult]") -> str:
    return "\n".join(
        f"{_mark(each)} {each.prompt} case {each.case}"
        + "".join(f"\n    {fault}" for fault in each.faults)
        for each in results
    )


def _mark(result: "CaseResult") -> str:
    return "✓" if result.passed else "✗"


def _move_line(name: str, move: "Move") -> str:
    before = move.from_version[:12] if move.from_version else "nothing"
    return f"{move.label} of {name}: {before} → {move.to_version[:12]}, by {move.moved_by}"
