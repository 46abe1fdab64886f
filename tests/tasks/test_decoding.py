import pytest

from infra.errors import InputError
from tasks.decoding import decode


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_is_read_with_and_without_its_mark(encoding: str) -> None:
    assert decode("Überweisung 漢 🙂".encode(encoding), "t.csv") == ("Überweisung 漢 🙂", [])


@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "a\nGrüße"), ("cp1252", "a\n“é” – €")])
def test_a_western_file_is_read_and_that_is_said(encoding: str, text: str) -> None:
    read, notes = decode(text.encode(encoding), "t.csv")
    assert read == text
    assert notes == ["t.csv is not UTF-8 (line 2): it was read as Windows-1252."]


def test_bytes_that_windows_does_not_know_are_read_as_latin_1() -> None:
    assert decode(b"caf\xe9\x81", "t.csv")[0] == "café\x81"


def test_nuls_are_removed_and_counted() -> None:
    assert decode(b"a\0b\0c", "t.csv") == ("abc", ["t.csv: 2 NUL characters were removed."])


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InputError, match=r"t\.csv: line 2 is not utf-8 text\. Save"):
        decode(b"PK\x03\x04\n\xff\0\0\x14", "t.csv")


def test_a_broken_file_with_a_mark_is_not_guessed_at() -> None:
    with pytest.raises(InputError, match=r"t\.csv: line 1 is not utf-8-sig text"):
        decode(b"\xef\xbb\xbfcaf\xe9", "t.csv")
