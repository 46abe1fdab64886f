"""Files that are documents (Markdown, HTML, PDF, text) to titles and texts.

What comes out is Markdown or plain text: headings are kept, for they say where a passage stands.
"""

import io
import logging
import re
from pathlib import Path

import yaml

from infra.errors import InputError
from tasks.decoding import decode
from tasks.headings import headings

MARKDOWN, HTML, PDF, TEXT = (".md", ".markdown"), (".html", ".htm", ".xhtml"), (".pdf",), (".txt",)
SUFFIXES = (*MARKDOWN, *HTML, *PDF, *TEXT)

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_NO_TEXT = ("script", "style", "template", "noscript", "nav", "svg", "iframe", "head")
_BLANK_LINES = re.compile(r"\n{3,}")
_HYPHENATED = re.compile(r"(?<=[a-z])-\n(?=[a-z])")


def read_document(path: Path) -> tuple[str, str, list[str]]:
    """Title, text and notes for the user. The title is the file's own, else its name.

    Raises InputError naming the file: not readable, not what its name says, or without text, as
    scanned pages are.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Mend its rights.") from error
    suffix, notes = path.suffix.lower(), list[str]()
    try:
        if suffix in PDF:
            title, text = _pdf(data, path)
        else:
            text, notes = decode(data, str(path))
            title, text = _text(text, suffix)
    except InputError:
        raise
    except Exception as error:  # whatever their parsers stumble over
        raise InputError(f"{path} cannot be parsed: {error!r}. Save it again.") from error
    if not text.strip():
        raise InputError(f"{path} has no text. Take it out of the folder, or fill it.")
    return " ".join(title.split()) or path.stem, text.strip(), notes


def _text(text: str, suffix: str) -> tuple[str, str]:
    if suffix in TEXT:
        return "", text
    title, text = _html(text) if suffix in HTML else _front_matter(text)
    return title or next((words for _, _, words in headings(text)), ""), text


def _front_matter(text: str) -> tuple[str, str]:
    """The title that stands in the YAML above a Markdown text, and the text under it."""
    found = _FRONT_MATTER.match(text)
    if not found:
        return "", text
    try:
        told = yaml.safe_load(found[1])
    except yaml.YAMLError:  # two rules with text in between
        return "", text
    if not isinstance(told, dict):
        return "", text
    return str(told.get("title") or ""), text[found.end() :]


def _html(text: str) -> tuple[str, str]:
    """The title, and what a reader sees, as Markdown: no scripts, styles, menus."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    page = BeautifulSoup(text, "html.parser")
    title = page.title.get_text() if page.title else ""
    for unseen in page(_NO_TEXT):
        unseen.decompose()
    for unseen in page.select("[hidden], [aria-hidden=true]"):
        unseen.decompose()
    converter = MarkdownConverter(heading_style="ATX", strip=["a", "img"])
    return title, _BLANK_LINES.sub("\n\n", converter.convert_soup(page))


def _pdf(data: bytes, path: Path) -> tuple[str, str]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it tells of every oddity that it mends
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"{path} wants a password. Save it without one.")
        pages = [page.extract_text() for page in reader.pages]
        title = (reader.metadata and reader.metadata.title) or ""
    except PyPdfError as error:
        raise InputError(f"{path} is no PDF that can be read: {error}. Save it again.") from error
    text = _HYPHENATED.sub("", "\n\n".join(pages))
    if not text.strip():
        raise InputError(
            f"{path} has {len(pages)} pages without text: it is scanned, or empty. Recognise its "
            "text first, for example with ocrmypdf."
        )
    return title, text
