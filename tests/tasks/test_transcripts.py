from pathlib import Path

import pytest

from infra.errors import InputError
from tasks.transcripts import read_transcripts, speech

VTT = """WEBVTT - Interview

NOTE
Recorded in Graz,
not spoken.

STYLE
::cue { color: red }

1
00:00:01.200 --> 00:00:07.400 align:start
<v Ines>Okay, it <i>says</i> recording.

00:07.500 --> 00:09.000
<v.loud Ines>Thank you &amp; welcome.

intro-3
00:00:09.100 --> 00:00:12.000
<v Tobias Wren>Well,
<00:00:10.000>where do I start?</v> <v Ines>Anywhere.</v>
"""

SRT = "\ufeff1\r\n00:00:01,000 --> 00:00:02,000\r\nANN: {\\an8}Hello\r\nthere.\r\n\r\n2\r\n" \
      "00:00:02,500 --> 00:00:03,000\r\nStill <b>me</b>.\r\n\r\n3\r\n" \
      "00:00:03,500 --> 00:00:04,000\r\nBo: Hi: good.\r\n"  # fmt: skip


def test_of_webvtt_the_speech_is_kept_a_line_a_turn() -> None:
    assert speech(VTT, "t.vtt") == (
        "Ines: Okay, it says recording. Thank you & welcome.\n"
        "Tobias Wren: Well, where do I start?\n"
        "Ines: Anywhere."
    )


def test_of_subrip_the_speech_is_kept_a_line_a_turn() -> None:
    assert speech(SRT, "t.srt") == "ANN: Hello there. Still me.\nBo: Hi: good."


def test_cues_without_speakers_are_one_turn() -> None:
    cue = "00:00:01.000 --> 00:00:02.000\n"
    text = f"WEBVTT\n\n{cue}It broke at 10:30,\n\n{cue}see https://example.org.\n"
    assert speech(text, "t.vtt") == "It broke at 10:30, see https://example.org."


def test_subtitles_without_a_cue_are_refused() -> None:
    with pytest.raises(InputError, match=r"t\.vtt has no cues"):
        speech("WEBVTT\n\nNOTE nothing\n", "t.vtt")


def test_a_folder_is_read_with_its_folders_one_record_a_file(tmp_path: Path) -> None:
    (tmp_path / "north" / "deep").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "b.TXT").write_text("Ann: Hi\r\n\r\nBo: Hello", newline="")
    (tmp_path / "north" / "2026-03-04_call.vtt").write_text(VTT)
    (tmp_path / "north" / "deep" / "c.md").write_bytes("# Grüße".encode("latin-1"))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "table.csv").write_text("id,text\n")
    (tmp_path / ".hidden.txt").write_text("x")
    (tmp_path / ".git" / "x.txt").write_text("x")
    table, notes = read_transcripts(tmp_path)
    found = {row["id"]: row for row in table.to_dict("records")}
    assert list(found) == ["b.TXT", "empty.txt", "north/2026-03-04_call.vtt", "north/deep/c.md"]
    assert found["b.TXT"]["transcript"] == "Ann: Hi\r\n\r\nBo: Hello"
    assert found["empty.txt"]["transcript"] == ""
    assert found["north/deep/c.md"]["transcript"] == "# Grüße"
    assert [row["date"] for row in found.values()] == ["", "", "2026-03-04", ""]
    assert [note.split(" ")[0] for note in notes] == [str(tmp_path / "north" / "deep" / "c.md")]


def test_a_single_file_is_one_record(tmp_path: Path) -> None:
    (tmp_path / "call.srt").write_text(SRT)
    table, _ = read_transcripts(tmp_path / "call.srt")
    assert table["id"].tolist() == ["call.srt"]
    assert table["transcript"].tolist() == ["ANN: Hello there. Still me.\nBo: Hi: good."]


def test_a_single_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "call.txt").write_text(" \n")
    with pytest.raises(InputError, match=r"call\.txt is empty"):
        read_transcripts(tmp_path / "call.txt")


def test_a_folder_without_transcripts_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("id,text\n")
    with pytest.raises(InputError, match=r"has no transcripts \(\.txt, \.md, \.vtt, \.srt\)"):
        read_transcripts(tmp_path)


def test_a_broken_file_of_a_folder_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("fine")
    (tmp_path / "bad.vtt").write_text("no cue here")
    with pytest.raises(InputError, match=r"bad\.vtt has no cues"):
        read_transcripts(tmp_path)
