"""Bytes of a text file to text: byte order marks, UTF-8, and Windows-1252 where it is not UTF-8."""

import codecs

from infra.errors import InputError

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def decode(data: bytes, source: str) -> tuple[str, list[str]]:
    """The text without NULs, and notes for the user where something had to be decided.

    A file that is not UTF-8 is read as Windows-1252, the superset of Latin-1 that Western exports
    are in; its five unassigned bytes are read as Latin-1.

    Raises InputError when the bytes are not text, or break the encoding that their mark announces.
    """
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    notes = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if encoding != "utf-8" or b"\0" in data:
            raise InputError(
                f"{source}: line {line} is not {encoding} text. Save the file as UTF-8 text."
            ) from error
        notes.append(f"{source} is not UTF-8 (line {line}): it was read as Windows-1252.")
        text = _western(data)
    if "\0" in text:
        notes.append(f"{source}: {text.count(chr(0))} NUL characters were removed.")
        text = text.replace("\0", "")
    return text, notes


def _western(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")
