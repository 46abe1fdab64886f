"""What root needs to run a server that refuses to be root: an account, and places it can reach.

Nothing that is not ours changes its permissions: where the account cannot enter a directory, what
it needs is put under /var/lib instead.
"""

import os
import pwd
import secrets
import shutil
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from infra.errors import EmbeddedServerError
from infra.storage import writing

_ACCOUNTS = ("postgres", "_postgres", "nobody")  # the first that exists
_OUTSIDE = Path("/var/lib/llm-pattern-flows")


@dataclass(frozen=True)
class Account:
    """User and group ids to run as."""

    user: int
    group: int


def account_for(data: Path) -> Account | None:
    """Whom to run the server of this data directory as; None: as we are, who are not root.

    The owner of the directory where there is one, else the first usual unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    with suppress(FileNotFoundError, KeyError):
        owner = pwd.getpwuid(data.stat().st_uid)
        return Account(owner.pw_uid, owner.pw_gid)
    for name in _ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        f"Root cannot run PostgreSQL, and there is none of the accounts {', '.join(_ACCOUNTS)}. "
        "Work as a normal user, or set PATTERNS_DATABASE_URL to a PostgreSQL of your own."
    )


def reachable_folder(path: Path, account: Account | None) -> Path:
    """The folder at ``path``, made where it is missing, such that the account can enter it.

    Where it cannot reach ``path``, a link is left there to a folder of ours elsewhere.
    """
    with writing(path.parent):
        if account is None:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not os.path.lexists(path) and not _can_enter(path.parent, account):
            path.symlink_to(_OUTSIDE / secrets.token_hex(8))
    folder = path.resolve()
    if account is not None and not folder.exists():
        with writing(folder):
            for new in (_OUTSIDE, folder) if _OUTSIDE in folder.parents else (folder,):
                new.mkdir(parents=True, exist_ok=True)
                new.chmod(0o711)
    return folder


def reachable_copy(programs: Path, account: Account | None) -> Path:
    """The folder itself, or, for an account, a copy that anyone may read and root alone write."""
    copy = _OUTSIDE / programs.name
    if account is None:
        return programs
    if not copy.exists():
        with writing(_OUTSIDE):
            _OUTSIDE.mkdir(parents=True, exist_ok=True)
            _OUTSIDE.chmod(0o711)
            draft = _OUTSIDE / f".{programs.name}.{os.getpid()}"
            shutil.copytree(programs, draft, symlinks=True)
            for path in (draft, *draft.rglob("*")):
                path.chmod(0o755)
            with suppress(FileExistsError):  # somebody was faster
                draft.rename(copy)
            shutil.rmtree(draft, ignore_errors=True)
    return copy


def _can_enter(folder: Path, account: Account) -> bool:
    def enterable(path: Path) -> bool:
        found = path.stat()
        if found.st_uid == account.user:
            return bool(found.st_mode & stat.S_IXUSR)
        if found.st_gid == account.group:
            return bool(found.st_mode & stat.S_IXGRP)
        return bool(found.st_mode & stat.S_IXOTH)

    real = folder.resolve()
    return all(enterable(path) for path in (real, *real.parents))
