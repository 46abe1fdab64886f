"""Named SQL statements: ``queries/*.sql``, each statement under a line ``-- name: its_name``."""

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def queries() -> dict[str, LiteralString]:
    """Every named statement. Raises ValueError when a name stands twice."""
    found: dict[str, LiteralString] = {}
    for file in files(__package__).joinpath("queries").iterdir():
        if not file.name.endswith(".sql"):
            continue
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, statement in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"The SQL statement {name} is defined twice")
            found[name] = cast(LiteralString, statement.strip())
    return found
