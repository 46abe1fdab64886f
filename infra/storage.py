"""Directories of ours: made private, and their troubles said in plain words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import StorageError


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn an OSError of the block into a StorageError that names the directory."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{directory} cannot be written: {error.strerror or error}. "
            "Free some space, mend its permissions, or set PATTERNS_HOME to another directory."
        ) from error


def private_directory(path: Path) -> Path:
    """The directory, made with mode 0700 where it is missing; what exists stays as it is."""
    with writing(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, text: str) -> None:
    """Write the file with mode 0600, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with writing(path.parent):
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
