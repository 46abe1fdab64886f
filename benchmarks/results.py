"""What was measured, a line a row in a file, or in memory."""

import json
from pathlib import Path
from typing import Any


class Results:
    """Rows by part."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path and path.exists():
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, part: str, **row: Any) -> None:
        """Keep a row."""
        self.rows.append({"part": part, **row})
        print(json.dumps(self.rows[-1]), flush=True)
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(self.rows[-1]) + "\n")

    def of(self, part: str) -> list[dict[str, Any]]:
        """The rows of a part."""
        return [row for row in self.rows if row["part"] == part]
