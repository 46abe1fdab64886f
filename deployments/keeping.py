"""`patterns backup` and `restore`: what the platform of one machine holds, in one file."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.terminal import AsJson, show, tell


def backup(
    file: Annotated[Path, typer.Argument(help="File to write, such as patterns.tar.")],
    as_json: AsJson = False,
) -> None:
    """Write both databases of the embedded PostgreSQL and the trained specialists to a file.

    Runs go on meanwhile. The file holds ticket text.
    """
    from infra.backup import back_up

    tell("Backing up …")
    size = back_up(file)
    show(
        {"file": str(file.absolute()), "bytes": size},
        f"{file}: {size / 1e6:.1f} MB",
        as_json=as_json,
    )


def restore(
    file: Annotated[Path, typer.Argument(help="A file that `patterns backup` has written.")],
    as_json: AsJson = False,
) -> None:
    """Bring back what a backup holds, after `patterns down`.

    What was there before stays under other names. Tickets that were forgotten since the backup are
    back: forget them again. Runs that were under way then are Running, and go on with
    `patterns resume RUN --dead`.
    """
    from infra import backup

    tell("Restoring …")
    kept = backup.restore(file)
    said = "Restored. Tickets that were forgotten since the backup are back: forget them again."
    if kept:
        said += f" Kept as they were before: {', '.join(kept)}."
    show({"restored": str(file.absolute()), "kept": kept}, said, as_json=as_json)
