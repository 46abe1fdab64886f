import io
from pathlib import Path

import pytest
from pypdf import PdfWriter

from infra.errors import InputError
from tasks.document_files import read_document

PAGE = """<html><head><title>Opening  hours</title><style>p {color: red}</style></head>
<body><nav>Home | Contact</nav><script>alert("x")</script><main><h2>Office</h2>
<p>Open from <b>9:00</b>.</p><ul><li>Monday</li><li>Friday</li></ul>
<table><tr><th>Day</th><th>Until</th></tr><tr><td>Monday</td><td>17:00</td></tr></table>
<p hidden>secret</p><p aria-hidden="true">icon</p></main></body></html>"""


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def pdf(folder: Path, text: str | None, password: str | None = None) -> Path:
    """A PDF of one page."""
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    page = writer.add_blank_page(300, 300)
    if text:
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
        writer.add_metadata({"/Title": "The manual"})
    if password:
        writer.encrypt(password)
    data = io.BytesIO()
    writer.write(data)
    writer.close()
    (folder / "manual.pdf").write_bytes(data.getvalue())
    return folder / "manual.pdf"


def test_of_html_stays_what_a_reader_sees_as_markdown(tmp_path: Path) -> None:
    title, text, _ = read_document(written(tmp_path, "hours.html", PAGE))
    assert title == "Opening hours"
    assert "## Office" in text
    assert "**9:00**" in text
    assert "* Monday" in text
    assert "| Monday | 17:00 |" in text
    for unseen in ("alert", "color", "Contact", "secret", "icon", "<"):
        assert unseen not in text


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "Intro\n\n## Refunds ##\n\nText", "Refunds"),
        ("notes.md", "No heading", "notes"),
        ("notes.txt", "# no heading in plain text", "notes"),
    ],
)
def test_the_title_is_the_files_own_else_its_name(
    tmp_path: Path, name: str, text: str, title: str
) -> None:
    assert read_document(written(tmp_path, name, text))[0] == title


def test_a_pdf_has_the_text_of_its_pages(tmp_path: Path) -> None:
    title, text, _ = read_document(pdf(tmp_path, "Press the red button."))
    assert (title, text) == ("The manual", "Press the red button.")


def test_a_scanned_pdf_is_told_how_to_be_mended(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manual\.pdf has 1 pages without text.*ocrmypdf"):
        read_document(pdf(tmp_path, None))


def test_a_pdf_with_a_password_or_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wants a password"):
        read_document(pdf(tmp_path, "Secret", password="x"))
    with pytest.raises(InputError, match=r"odd\.pdf is no PDF that can be read"):
        read_document(written(tmp_path, "odd.pdf", "no PDF"))


@pytest.mark.parametrize("name", ["empty.md", "empty.html", "empty.txt"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=rf"{name} has no text"):
        read_document(written(tmp_path, name, " \n"))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("My title\n========\n\nText.\n\n## Install", "My title"),
        ("```\n# no title\n```\n\n# A title", "A title"),
        ("---\ntitle: Refunds\ndate: 2024-01-01\n---\n# Other\n\nText.", "Refunds"),
        ("---\ndate: 2024-01-01\n---\n# Other\n\nText.", "Other"),
        ("---\nonly a rule\n---\n\nText.", "page"),
        ("---\na: [b\n---\n# Torn\n", "page"),
    ],
)
def test_a_markdown_title_is_that_of_its_front_matter_or_its_first_heading(
    tmp_path: Path, text: str, title: str
) -> None:
    found, kept, _ = read_document(written(tmp_path, "page.md", text))
    assert found.startswith(title) or (title == "page" and found)
    assert "date:" not in kept


def test_front_matter_alone_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no text"):
        read_document(written(tmp_path, "page.md", "---\ntitle: Refunds\n---\n"))


@pytest.mark.parametrize("text", ["<b>" * 3000, "<p>a</p><![foo bar", "<div>" * 2000 + "a"])
def test_html_that_breaks_its_parser_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"odd\.html (cannot be parsed|has no text)"):
        read_document(written(tmp_path, "odd.html", text))
