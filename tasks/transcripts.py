"""Transcripts (.txt, .md, .vtt, .srt), a file or a folder of them, to one record a file.

The only module that imports langchain-community, which is being retired upstream: it finds and
reads the files.
"""

import html
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import InputError
from tasks.decoding import decode

if TYPE_CHECKING:
    import pandas as pd
    from langchain_core.documents.base import Blob

SUFFIXES = (".txt", ".md", ".vtt", ".srt")

_BLANK_LINES = re.compile(r"\n[ \t]*\n")
_TIMING = re.compile(r"(?:\d+:)?\d+:\d\d[.,]\d+\s*-->")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-z][^>]*>|<[\d:.]+>|\{\\[^}]*\}", re.IGNORECASE)
_PREFIX = re.compile(r"([^\W\d_][^:.!?\n]{0,39}):\s+")
_DATED = re.compile(r"\d{4}-\d\d-\d\d(?!\d)")


def read_transcripts(path: Path) -> tuple["pd.DataFrame", list[str]]:
    """A table of id, transcript and date, a row a file, and notes for the user.

    The id is the path within the folder, with ``/``; a folder is read with the folders in it, but
    without hidden files. A file name that begins with an ISO date dates its record. Of subtitles
    the speech is kept, a line a turn.

    Raises InputError naming the file that cannot be read, or the folder without a transcript.
    """
    import pandas as pd

    rows, notes = [], []
    for blob in _blobs(path):
        file = Path(str(blob.path))
        try:
            text, decided = decode(blob.as_bytes(), str(file))
        except OSError as error:
            raise InputError(
                f"{file} cannot be read: {error.strerror}. Mend its rights."
            ) from error
        notes += decided
        if file.suffix.lower() in (".vtt", ".srt") and text.strip():
            text = speech(text, str(file))
        id_ = file.relative_to(path).as_posix() if path.is_dir() else file.name
        dated = _DATED.match(file.name)
        rows.append({"id": id_, "transcript": text, "date": dated[0] if dated else ""})
    if not rows:
        raise InputError(
            f"{path} has no transcripts ({', '.join(SUFFIXES)}). Name a folder that has some, or "
            "the file of records itself."
        )
    if path.is_file() and not rows[0]["transcript"].strip():
        raise InputError(f"{path} is empty. Name a file that has text.")
    return pd.DataFrame(rows, dtype=object), notes


def speech(subtitles: str, source: str) -> str:
    """What is said in WebVTT or SubRip, ``speaker: text`` where the speaker is known.

    Cue numbers, times, notes, styles and markup are left out, and consecutive cues of one speaker
    are one line; a cue that names nobody goes on with the speaker before it.

    Raises InputError when there is no cue in it.
    """
    turns: list[tuple[str, list[str]]] = []
    for speaker, words in _cues(subtitles.replace("\r\n", "\n").replace("\r", "\n")):
        if turns and speaker in ("", turns[-1][0]):
            turns[-1][1].append(words)
        else:
            turns.append((speaker, [words]))
    if not turns:
        raise InputError(
            f"{source} has no cues (00:00:01.000 --> 00:00:02.000). If it is plain text, "
            "name it .txt."
        )
    return "\n".join(
        f"{speaker}: {' '.join(words)}" if speaker else " ".join(words) for speaker, words in turns
    )


def _cues(text: str) -> Iterator[tuple[str, str]]:
    """Speaker, '' when unknown, and words of each cue; several of a cue with several voices."""
    for block in _BLANK_LINES.split(text):
        lines = block.strip().split("\n")
        timed = next((n for n, line in enumerate(lines[:2]) if _TIMING.match(line.strip())), None)
        if timed is None:  # the header, a note, a style
            continue
        unvoiced, *voiced = _VOICE.split(" ".join(lines[timed + 1 :]))
        for speaker, spoken in [("", unvoiced), *zip(voiced[::2], voiced[1::2], strict=True)]:
            words = " ".join(html.unescape(_TAG.sub("", spoken)).split())
            if not speaker and (prefix := _PREFIX.match(words)):
                speaker, words = prefix[1], words[prefix.end() :]
            if words:
                yield html.unescape(speaker).strip(), words


def _blobs(path: Path) -> list["Blob"]:
    with warnings.catch_warnings():
        # It warns of its retirement on import, which this module's docstring knows of.
        warnings.simplefilter("ignore", DeprecationWarning)
        from langchain_community.document_loaders.blob_loaders import FileSystemBlobLoader

    suffixes = [*SUFFIXES, *(suffix.upper() for suffix in SUFFIXES)]
    blobs = FileSystemBlobLoader(path, suffixes=suffixes).yield_blobs()
    return sorted(
        (blob for blob in blobs if not _hidden(Path(str(blob.path)), path)),
        key=lambda blob: str(blob.path),
    )


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
