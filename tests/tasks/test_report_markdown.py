"""The report as Markdown: the words of others stay words, and an artifact stays small."""

import base64
import io
import re

from hypothesis import given, settings
from markdown_it import MarkdownIt

from tasks.findings import Report
from tasks.report_markdown import markdown_artifact, markdown_report
from tests.tasks.reports import HOSTILE, figures, many, nothing, reports, sample

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TAGS = {"h1", "h2", "h3", "h4", "p", "br", "strong", "blockquote", "code"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}


def tags(markdown: str) -> set[str]:
    return set(re.findall(r"<\s*/?\s*(\w+)", RENDERER.render(markdown)))


@settings(max_examples=40)
@given(reports())
def test_whatever_is_in_a_report_it_adds_no_markup(report: Report) -> None:
    text = markdown_report(report)
    assert tags(text) <= TAGS
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", text)


def test_an_artifact_has_one_picture_and_it_is_our_own() -> None:
    words = "\n\n".join(text for text in HOSTILE)
    findings = tuple(f.model_copy(update={"title": words}) for f in sample().findings)
    artifact = markdown_artifact(sample(findings=findings, source=words, synthesis=words))
    assert tags(artifact) <= {*TAGS, "img"}
    (source,) = re.findall(r'<img src="([^"]*)"', RENDERER.render(artifact))
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_a_picture_has_ink_in_both_plots() -> None:
    from PIL import Image

    data = re.findall(r"base64,([^)]*)\)", markdown_artifact(sample()))[0]
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    left = image.crop((0, 0, image.width // 2, image.height))
    right = image.crop((image.width // 2, 0, *image.size))
    accent = (0x1A, 0x5C, 0x78)
    for half in (left, right):
        assert accent in {color for _, color in half.getcolors(1 << 24) or []}


def test_an_artifact_is_under_a_megabyte_whatever_the_report() -> None:
    large = many(3000, themes=600, rare=400, periods=400, text="|*<\u4e2d" * 100)
    artifact = markdown_artifact(
        large.model_copy(update={"synthesis": "\u4e2d_" * 500_000, "source": "/" + "<" * 9000})
    )
    assert len(artifact.encode()) < 1_000_000
    assert artifact.count("\n| F") == 30
    assert "And 570 more themes." in artifact


def test_an_artifact_says_where_the_whole_report_lies() -> None:
    placed = figures(tickets=7, covered=6, unassigned=1, findings=4, report="/data/out/report.html")
    assert "/data/out/report.html" in markdown_artifact(sample(figures=placed))
    assert "Full report" not in markdown_artifact(sample())


def test_what_failed_is_named_and_of_much_the_beginning() -> None:
    assert "Failed" not in markdown_report(sample(lost=()))
    for text in (markdown_report(sample()), markdown_artifact(sample())):
        assert r"the next run: passage 0f3a9c: it \<was\> refused." in text
    lost = tuple(f"passage {n}" for n in range(25))
    assert "passage 19; and 5 more in report.json." in markdown_report(sample(lost=lost))


def test_a_report_of_nothing_can_be_written() -> None:
    report = nothing()
    for text in (markdown_artifact(report), markdown_report(report)):
        assert "No theme was found." in text
        assert "0 of 0 tickets" in text
        assert "image/png" not in text


def test_the_whole_report_leads_from_the_synthesis_to_the_tickets() -> None:
    text = markdown_report(sample())
    assert text.startswith("# tickets.csv: what 7 tickets say\n")
    parts = [
        "Codes come late \\[F1\\], and money is lost \\[F3\\].",
        "6 of 7 tickets are under 3 themes or 1 rare findings; 1 unassigned: it is empty (1).",
        "| F1 | Codes arrive late | 3 · 42.9% | high |",
        "### Signing in (4 tickets) [S1]",
        "**Codes arrive late** (3 tickets, high) [F1]",
        "> Code war abgelaufen — T-4",
        "Tickets: T-1, T-2, T-4",
        "| Codes arrive late | 2 | 1 |",
        "## Rare findings",
        "**Watch battery drains** (1 ticket) [F4]",
        "## Unassigned",
        "| Cost | price unknown |",
    ]
    places = [text.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
