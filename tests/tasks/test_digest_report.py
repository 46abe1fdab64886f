"""A digest as people read it."""

import base64
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from PIL import Image

from infra.errors import StorageError
from tasks.digest_report import digest_markdown, plot, says, write_digest
from tasks.digests import Digest, ThemeChange
from tasks.plots import ACCENT, PALE
from tests.tasks.reports import HOSTILE, many, sample

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TAGS = {"h1", "h2", "p", "br", "strong", "blockquote", "code", "img"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


def change(theme: str, before: int, now: int, title: str = "Codes arrive late") -> ThemeChange:
    came = max(0, now - before)
    return ThemeChange(theme=theme, title=title, before=before, now=now, came=came)


def digest(**changes: Any) -> Digest:
    """Of the sample report: what is new, grown and shrunk, one each, and one that vanished."""
    fields: dict[str, Any] = {
        "source": "corpus:support",
        "days": None,
        "made_at": datetime(2026, 11, 30, 3, 0, tzinfo=UTC),
        "since": datetime(2026, 11, 29, 3, 0, tzinfo=UTC),
        "after": 1,
        "refitted": False,
        "new": (change("F1", 0, 3),),
        "grown": (change("F2", 1, 2, "Reset link fails"),),
        "shrunk": (),
        "vanished": (change("F9", 4, 0, "Maps are old"),),
        "unchanged": (change("F3", 1, 1, "Charged twice"),),
        "tickets": 7,
        "tickets_before": 6,
        "came": 5,
        "left": 4,
        "alone": 1,
        "model_calls": 3,
        "cache_hits": 20,
        "cost_usd": None,
        "seconds": 12.3,
        "report": "/data/report.html",
        "digest": "/data/digest.html",
    }
    return Digest.model_validate(fields | changes)


def unchanged(**changes: Any) -> Digest:
    nothing = dict.fromkeys(("new", "grown", "shrunk", "vanished"), ())
    return digest(**nothing, came=0, left=0, alone=0, **changes)


def drawn(markdown: str) -> Image.Image:
    [data] = re.findall(r"\(data:image/png;base64,([^)]*)\)", markdown)
    return Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def test_a_digest_says_first_what_came_and_what_has_changed() -> None:
    assert says(digest()) == (
        "5 tickets came in, 4 left. Themes: 1 new, 1 grown, 1 vanished, 1 unchanged. "
        "7 tickets in 3 themes now."
    )
    assert says(unchanged()) == "Nothing has changed: 7 tickets in 1 theme now."
    came = unchanged().model_copy(update={"came": 2})
    assert "2 tickets came in. Themes: none changed, 1 unchanged." in says(came)
    first = digest(since=None, after=None, grown=(), vanished=(), unchanged=())
    assert says(first).startswith("This is the first digest, so every theme is new: 7 tickets")


def test_what_is_new_stands_first_and_in_words_with_a_quote() -> None:
    told = digest_markdown(digest(), sample())
    parts = [
        "# corpus\\:support: what has changed",
        "2026-11-30 03:00 UTC, since 2026-11-29 03:00 UTC",
        "1 ticket of those that came in is under no theme.",
        "## New (1)",
        "| F1 | Codes arrive late | 0 · 0.0% | 3 · 42.9% | 3 |",
        "**Codes arrive late** (3 tickets, high) F1",
        "> the code came too late — T-1",
        "## Grown (1)",
        "## Vanished (1)",
        "| F9 | Maps are old | 4 · 66.7% | 0 · 0.0% | 0 |  |",
        "## Unchanged (1)",
        "price unknown",
        "/data/report.html",
    ]
    places = [told.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "## Shrunk" not in told


def test_a_digest_says_of_which_days_it_is_and_that_themes_were_found_anew() -> None:
    told = digest_markdown(digest(days=7, refitted=True), sample())
    assert "since 2026-11-29 03:00 UTC, the last 7 days" in told
    assert "were found anew since the last digest" in told
    assert "found anew" not in digest_markdown(digest(), sample())


def test_the_words_of_others_stay_words() -> None:
    words = "\n\n".join(HOSTILE)
    findings = tuple(
        f.model_copy(update={"title": words, "detail": words}) for f in sample().findings
    )
    report = sample(findings=findings)
    hostile = digest(new=(change("F1", 0, 3, words),), source=words)
    told = digest_markdown(hostile, report, plot(hostile, report))
    rendered = RENDERER.render(told)
    assert set(re.findall(r"<\s*/?\s*(\w+)", rendered)) <= TAGS
    assert re.findall(r'<img src="([^,]*),', rendered) == ["data:image/png;base64"]
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", told)


def test_the_plot_shows_then_and_now_with_what_is_new_at_the_top_and_nothing_cut() -> None:
    image = drawn(plot(digest(), sample()))
    width, height = image.size
    rows = {
        color: [
            y
            for y in range(height)
            if sum(image.getpixel((x, y)) == color for x in range(width // 2)) > 40
        ]
        for color in (rgb(ACCENT), rgb(PALE))
    }
    now, then = rows[rgb(ACCENT)], rows[rgb(PALE)]
    assert min(now) < min(then), "the first bar is what is new, which was not there then"
    assert max(then) > max(now), "the last is what vanished"
    edge = [image.getpixel((x, y)) for x in range(width) for y in (0, 1, height - 2, height - 1)]
    edge += [image.getpixel((x, y)) for y in range(height) for x in (0, 1, width - 2, width - 1)]
    assert set(edge) == {(255, 255, 255)}, "nothing reaches the edge"


def test_where_nothing_changed_nothing_is_drawn() -> None:
    assert plot(unchanged(), sample()) == ""
    assert "image/png" not in digest_markdown(unchanged(), sample(), plot(unchanged(), sample()))


def test_an_artifact_is_under_a_megabyte_whatever_changed() -> None:
    report = many(3000, themes=600, periods=400, text="|*<\u4e2d" * 100)
    new = tuple(change(f.id, 0, f.count, f.title) for f in report.themes)
    large = digest(new=new, grown=(), vanished=(), unchanged=(), source="/" + "<" * 9000)
    told = digest_markdown(large, report, plot(large, report))
    assert len(told.encode()) < 1_000_000
    assert "And 570 more in `digest.json`." in told


def test_the_files_lie_beside_the_report_and_the_page_leads_to_it(tmp_path: Path) -> None:
    place = {name: str(tmp_path / f"{name}.html") for name in ("report", "digest")}
    shown = write_digest(digest(**place), sample())
    names = {"digest.html", "digest.json", "digest.md"}
    assert {path.name for path in tmp_path.iterdir()} == names
    page = (tmp_path / "digest.html").read_text("utf-8")
    assert '<a href="report.html#F1">F1</a>' in page
    assert 'href="report.html#F9"' not in page, "a theme that has vanished is not in the report"
    assert '<img src="data:image/png;base64,' in page
    assert "default-src 'none'" in page
    assert "image/png" in shown
    assert "report.html#" not in shown, "Prefect's page does not lie beside it"
    assert "image/png" not in (tmp_path / "digest.md").read_text("utf-8")
    kept = json.loads((tmp_path / "digest.json").read_text("utf-8"))
    assert Digest.model_validate(kept) == digest(**place)


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with pytest.raises(StorageError, match="/dev/full"):
        write_digest(digest(digest="/dev/full/digest.html"), sample())


def rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
