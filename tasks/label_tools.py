"""A tool that labels a text: the specialist that serves, or a model where it is not sure."""

from typing import Annotated

from pydantic import Field

from tasks.classifying import Classified, ClassifyRequest, classify
from tasks.json_schemas import KEPT
from tasks.tools import tool

Specialist = Annotated[
    str,
    Field(description="What the specialist knows.", json_schema_extra={KEPT: "specialist"}),
]


@tool(model_calls=1)
async def label_text(
    text: Annotated[str, Field(min_length=1, max_length=100_000, description="The text.")],
    specialist: Specialist,
) -> Classified:
    """Label a text by the team's own labels, with how sure it is."""
    return await classify(ClassifyRequest(text=text, name=specialist))
