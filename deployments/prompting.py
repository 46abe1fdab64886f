"""`patterns prompt` and `patterns prompts`: the prompt service at the terminal."""

from typing import Annotated

import typer

from deployments.terminal import AsJson, run_flow, show

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
    from tasks.prompts import load_prompt, prompt_names

    found = [load_prompt(name) for name in prompt_names()]
    result = {"prompts": [p.model_dump(include={"name", "purpose", "inputs"}) for p in found]}
    lines = [f"{p.name} ({', '.join(p.inputs)}): {p.purpose}" for p in found]
    show(result, "\n".join(lines), as_json=as_json)


@prompts.command("show")
def show_(name: str, as_json: AsJson = False) -> None:
    """One prompt: everything that the model is told."""
    from tasks.prompts import load_prompt

    found = load_prompt(name)
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
