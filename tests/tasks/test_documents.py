import os
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from infra.errors import InputError
from tasks.documents import DocumentColumns, Documents, load_documents
from tests.tasks.test_document_files import pdf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.md").write_text("# A\n\nText")
    (tmp_path / "sub" / "deep" / "b.txt").write_text("Text")
    (tmp_path / ".git" / "c.md").write_text("hidden")
    (tmp_path / "d.png").write_bytes(b"x")
    return tmp_path


async def of_table(path: Path, columns: DocumentColumns | None = None, **cells: Any) -> Documents:
    pd.DataFrame(cells).to_parquet(path / "t.parquet")
    return await load_documents(str(path / "t.parquet"), columns)


async def test_a_folders_documents_are_called_by_their_paths_in_it(folder: Path) -> None:
    found = await load_documents(str(folder))
    assert [each.id for each in found.all] == ["a.md", "sub/deep/b.txt"]
    assert [each.fields for each in found.all] == [
        {"type": ["md"]},
        {"type": ["txt"], "folder": ["sub/deep"]},
    ]
    assert [each.has_headings for each in found.all] == [True, False]
    assert found.name == str(folder)
    assert (await load_documents(str(folder), lineage="handbook")).name == "handbook"


async def test_one_file_is_a_source_too(folder: Path) -> None:
    assert [each.id for each in (await load_documents(str(folder / "a.md"))).all] == ["a.md"]


async def test_what_cannot_be_read_is_named_and_the_rest_is_there(folder: Path) -> None:
    pdf(folder, None)
    found = await load_documents(str(folder))
    assert [*found.skipped] == ["manual.pdf"]
    assert len(found.all) == 2


async def test_a_folder_that_cannot_be_listed_is_refused_as_its_documents_are_not_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    def scandir(path: str) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(InputError, match=r"sub/deep cannot be listed: Permission denied"):
        await load_documents(str(folder))


async def test_a_source_without_documents_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no documents\. .*\.md"):
        await load_documents(str(tmp_path))
    pdf(tmp_path, None)
    with pytest.raises(InputError, match=r"has no documents\. .*manual\.pdf has 1 pages without"):
        await load_documents(str(tmp_path))


async def test_a_tables_columns_are_recognised_and_the_others_can_be_filtered_by(
    tmp_path: Path,
) -> None:
    found = await of_table(
        tmp_path,
        doc_id=[2, 1],
        title=["B", "A"],
        text=["two", "one"],
        year=[2026.0, None],
        on=[date(2026, 1, 2), None],
        tags=[["x", "y"], []],
        live=[True, False],
        long=["z" * 501, "short"],
    )
    one, two = found.all
    assert (one.id, one.title, one.text) == ("1", "A", "one")
    assert one.fields == {"live": ["false"], "long": ["short"]}
    assert two.fields == {
        "year": ["2026"],
        "on": ["2026-01-02"],
        "tags": ["x", "y"],
        "live": ["true"],
    }


async def test_columns_can_be_named(tmp_path: Path) -> None:
    named = DocumentColumns(id="key", title="kind", text="answer")
    found = await of_table(tmp_path, named, key=["k"], kind=["K"], answer=["yes"], text=["no"])
    assert (found.all[0].id, found.all[0].title, found.all[0].text) == ("k", "K", "yes")
    with pytest.raises(InputError, match=r"no column 'answr'.*Did you mean 'answer'"):
        await of_table(tmp_path, DocumentColumns(text="answr"), answer=["yes"])


async def test_a_folder_has_no_columns_to_name(folder: Path) -> None:
    with pytest.raises(InputError, match="it has no columns to name"):
        await load_documents(str(folder), DocumentColumns(text="body"))


async def test_ids_that_are_missing_or_stand_twice_are_named_by_row(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows 1 and 3 have the same id, 'a'"):
        await of_table(tmp_path, id=["a", "b", "a"], text=["x", "y", "z"])
    with pytest.raises(InputError, match=r"row 2 has no id"):
        await of_table(tmp_path, id=["a", None], text=["x", "y"])


async def test_without_ids_titles_that_differ_are_ids_else_rows_are_numbered(
    tmp_path: Path,
) -> None:
    by_title = await of_table(tmp_path, title=["A", "B"], detail=["x", "y"])
    assert [each.id for each in by_title.all] == ["A", "B"]
    by_row = await of_table(tmp_path, title=["A", "A"], detail=["x", "y"])
    assert [each.id for each in by_row.all] == ["row-1", "row-2"]


async def test_rows_without_text_are_skipped_and_named(tmp_path: Path) -> None:
    found = await of_table(tmp_path, id=["a", "b"], text=["x", None])
    assert [each.id for each in found.all] == ["a"]
    assert "row 2 (b) has no text" in found.skipped["b"]


async def test_a_document_is_another_when_what_it_says_is(tmp_path: Path) -> None:
    async def digests(**cells: object) -> list[bytes]:
        return [each.digest for each in (await of_table(tmp_path, **cells)).all]

    same = {"id": ["a", "b"], "title": ["A", "B"], "text": ["x", "y"], "kind": ["1", "2"]}
    first = await digests(**same)
    assert await digests(**{name: cells[::-1] for name, cells in same.items()}) == first
    for name in ("title", "text", "kind"):
        changed = await digests(**{**same, name: ["new", same[name][1]]})
        assert changed[0] != first[0]
        assert changed[1] == first[1]


@pytest.mark.usefixtures("database")
async def test_a_query_is_a_source(tmp_path: Path) -> None:
    found = await load_documents("query:select 7 as id, 'Seven' as title, 'Text' as text")
    assert [(each.id, each.title) for each in found.all] == [("7", "Seven")]
