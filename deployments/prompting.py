"""`patterns prompt` and `patterns prompts`: the prompt service at the terminal."""

import getpass
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.terminal import AsJson, run_async, run_flow, show, tell
from infra.errors import InputError

if TYPE_CHECKING:
    from tasks.prompt_cases import CaseResult
    from tasks.prompt_labels import Move

prompts = typer.Typer(help="The prompt files.", no_args_is_help=True)


def prompt(
    name: Annotated[str, typer.Argument(help="Name of the prompt; see `patterns prompts list`.")],
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="One input, as NAME=VALUE.")
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Wait until a person releases the reply in the UI.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer from one named prompt."""
    given = dict(_pair(text) for text in inputs or [])
    request = {"prompt": name, "inputs": given, "review": review}
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
    """One prompt: everything that the model is told."""
    from tasks.prompts import file_prompt

    found = file_prompt(name)
    fixed = "\n\n".join(f"[{part}]\n{text.strip()}" for part, text in found.fixed_text.items())
    words = f"{found.purpose}\nversion {found.version}\n\n{fixed}\n\n[message]\n{found.message}"
    result = {**found.model_dump(mode="json"), "version": found.version, **found.content}
    show(result, words, as_json=as_json)


@prompts.command("lint")
def lint(as_json: AsJson = False) -> None:
    """Count each prompt's tokens; fail on one over its budget, without cases, or an unused part."""
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
    from tasks.runs import charged, together

    async def run() -> "list[list[CaseResult]]":
        tested = [file_prompt(name) for name in names or prompt_names()]
        async with charged():
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
    from tasks.runs import charged, together

    async def run() -> "list[list[CaseResult]]":
        now = file_prompt(name)
        before = await earlier_version(name, earlier)
        async with charged():
            return await together(run_cases(each, now.cases) for each in (before, now))

    before, now = run_async(run())
    pairs = list(zip(before, now, strict=True))
    lines = [
        f"case {old.case}\n  {_mark(old)} {old.version[:12]}  {old.reply}\n"
        f"  {_mark(new)} {new.version[:12]}  {new.reply}"
        for old, new in pairs
    ]
    result = {"prompt": name, "from": before[0].version, "to": now[0].version}
    sides = [{"from": _as_json([old])[0], "to": _as_json([new])[0]} for old, new in pairs]
    show({**result, "cases": sides}, "\n".join(lines), as_json=as_json)


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
    from tasks.runs import charged

    async def run() -> "tuple[list[CaseResult], Move | None]":
        prompt = file_prompt(name)
        async with charged():
            results = await run_cases(prompt)
        if not results or any(not result.passed for result in results):
            return results, None
        return results, await prompt_labels.promote(
            prompt, label, by or getpass.getuser(), len(results)
        )

    results, move = run_async(run())
    if move is None:
        tell(_case_lines(results))
        raise InputError(
            f"The label {label} of {name} stays where it was: "
            f"{sum(not result.passed for result in results)} of {len(results)} cases do not pass."
        )
    show({"prompt": name, **move.model_dump(mode="json")}, _move_line(name, move), as_json=as_json)


@prompts.command("rollback")
def rollback(
    name: str, label: Label = "production", by: Who = None, as_json: AsJson = False
) -> None:
    """Make a label name the version that it named before."""
    from tasks.prompt_labels import roll_back

    move = run_async(roll_back(name, label, by or getpass.getuser()))
    show({"prompt": name, **move.model_dump(mode="json")}, _move_line(name, move), as_json=as_json)


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
