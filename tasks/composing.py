"""Tools that make a text: worded by a model from material, or put together as it is."""

from typing import Annotated

from pydantic import Field

from tasks.asking import ask
from tasks.references import as_text
from tasks.tools import tool

PROMPT = "compose_text"
_MATERIAL = 9000  # characters


@tool(model_calls=1)
async def compose(
    instruction: Annotated[
        str, Field(description="What to write, such as: a summary in two lines.")
    ],
    material: Annotated[str, Field(description="The text that it is written from.")],
) -> str:
    """Write a text from given material, such as a summary, a translation, a message."""
    return await composed(instruction, material)


@tool()
async def write_down(
    text: Annotated[str, Field(description="The text, with references to results in it.")],
) -> str:
    """Put results together into a text. No model is asked."""
    return text


async def composed(instruction: str, material: object) -> str:
    """A text from material of any kind, which is cut where it is very long."""
    inputs = {"material": as_text(material)[:_MATERIAL], "instruction": instruction}
    return (await ask(PROMPT, inputs)).text.strip()
