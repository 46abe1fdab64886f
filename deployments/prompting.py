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
