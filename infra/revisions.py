"""Files as they were in an earlier revision of the Git repository that they lie in."""

import subprocess
from pathlib import Path

from infra.errors import InputError


def file_at(revision: str, path: Path) -> str:
    """The text of a file at a revision. Raises InputError when there is none."""
    command = ["git", "-C", str(path.parent), "show"]
    command += ["--end-of-options", f"{revision}:./{path.name}"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError("Git is not installed: name a kept version or a label instead.") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise InputError(f"{path.name} at {revision!r}: {said}")
    return done.stdout.decode()
