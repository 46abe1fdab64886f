import subprocess
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.revisions import file_at


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "sub").mkdir()
    for words in ("one", "zwei ü"):
        (tmp_path / "sub" / "a.md").write_text(words, encoding="utf-8")
        git("add", ".")
        git("commit", "--quiet", "--message", words)
    (tmp_path / "sub" / "a.md").write_text("three")
    return tmp_path


def test_a_file_is_had_as_it_was(repository: Path) -> None:
    path = repository / "sub" / "a.md"
    assert [file_at(revision, path) for revision in ("HEAD~1", "HEAD")] == ["one", "zwei ü"]


@pytest.mark.parametrize(("revision", "name"), [("nowhere", "a.md"), ("HEAD", "b.md")])
def test_what_was_not_there_is_refused_by_name(repository: Path, revision: str, name: str) -> None:
    with pytest.raises(InputError, match=f"{name} at '{revision}': "):
        file_at(revision, repository / "sub" / name)


def test_outside_a_repository_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a git repository"):
        file_at("HEAD", tmp_path / "a.md")


def test_a_revision_is_never_taken_for_an_option(repository: Path) -> None:
    with pytest.raises(InputError):
        file_at("--output=x", repository / "sub" / "a.md")
    assert not (repository / "sub" / "x:.").exists()
    assert sorted(p.name for p in (repository / "sub").iterdir()) == ["a.md"]


def test_without_git_the_error_says_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Git is not installed"):
        file_at("HEAD", tmp_path / "a.md")
