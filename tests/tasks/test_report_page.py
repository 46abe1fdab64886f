"""The page: nothing in it executes or leaves it, and every claim leads to its tickets."""

import base64
import hashlib
import re
import shutil
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings

from tasks import report_page
from tasks.findings import Finding, GroupNarrative, Quote, Report
from tasks.report_page import OPEN_TARGET, clean, clip, html_report
from tests.tasks.reports import HOSTILE, figures, many, nothing, reports, sample

VOID = {"meta"}
TAGS = {"html", "head", "meta", "title", "style", "body", "script", "header", "main", "section"}
TAGS |= {"h1", "h2", "h3", "h4", "p", "a", "span", "small", "time", "bdi", "b", "code", "cite"}
TAGS |= {"figure", "details", "summary", "blockquote", "ul", "ol", "li", "dl", "dt", "dd", "div"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td", "svg", "path", "rect", "polyline"}


class Page(HTMLParser):
    """A page taken apart; anything that is not balanced or not ours is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.pieces: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open
        self.text = " ".join("".join(self.pieces).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        assert tag in TAGS
        assert len(named) == len(attrs)
        assert not [name for name in named if name.startswith("on") or name in {"src", "srcset"}]
        assert "href" not in named or tag == "a"
        assert "url(" not in (named.get("style") or "")
        if tag == "a":
            self.links.append(named["href"] or "")
        if named.get("http-equiv"):
            self.policy = named["content"] or ""
        if "id" in named:
            self.ids.append(named["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append(data)
        elif self.open[-1:] != ["style"]:
            self.pieces.append(data)


def words(text: str) -> str:
    return " ".join(clean(text).split())


@settings(max_examples=60)
@given(reports())
def test_whatever_is_in_a_report_nothing_executes_or_leaves_the_page(report: Report) -> None:
    html = html_report(report)
    page = Page(html)
    assert page.scripts == [OPEN_TARGET]
    assert page.policy.startswith("default-src 'none';")
    assert len(page.ids) == len(set(page.ids))
    assert {link[:1] for link in page.links} <= {"#"}
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", html)
    html.encode()


@settings(max_examples=60)
@given(reports())
def test_every_finding_has_a_place_with_its_title_and_tickets(report: Report) -> None:
    page = Page(html_report(report))
    for finding in report.findings:
        assert finding.id in page.ids
        assert words(clip(finding.title, 300)) in page.text
        for ticket in finding.ticket_ids:
            assert words(clip(ticket, 120)) in page.text
    for reason in report.unassigned.values():
        assert words(clip(reason, 300)) in page.text


@pytest.mark.parametrize("text", HOSTILE[:9])
def test_hostile_words_are_shown_as_words(text: str) -> None:
    finding = Finding(
        id="F1",
        kind="rare",
        title=text,
        ticket_ids=(text,),
        quotes=(Quote(ticket=text, text=text),),
    )
    report = sample(
        source=text,
        chat_model=text,
        synthesis=text,
        tickets=(text,),
        sections=(),
        findings=(finding,),
        unassigned={},
        timeline=(),
        group_by=text,
        groups=(GroupNarrative(group=text, tickets=1, text=text),),
        figures=figures(tickets=1, covered=1, findings=1),
    )
    page = Page(html_report(report))
    assert page.scripts == [OPEN_TARGET]
    assert page.text.count(words(text)) >= 6


def test_the_policy_allows_exactly_the_pages_own_script() -> None:
    page = Page(html_report(sample()))
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy


def test_a_claim_links_to_its_finding() -> None:
    html = html_report(sample())
    assert '<a class="cite" href="#F1" title="Codes arrive late">F1</a>, and money' in html
    assert {"#F1", "#F3", "#F4"} <= set(Page(html).links)


def test_the_page_prints_the_figures_of_the_run() -> None:
    text = Page(html_report(sample())).text
    assert "6 of 7 tickets (85.7 %) are under a theme or a rare finding" in text
    assert "it is empty (1)" in text
    for line in (
        "Themes 3",
        "Rare findings 1",
        "Unassigned 1",
        "Model calls 24",
        "Cache hits 3",
        "Tokens in 7,813",
        "Tokens out 1,420",
        "Cost price unknown",
        "Time 214.6 s",
        "Invalid citations dropped 2",
    ):
        assert words(line.replace(" ", "")) in text.replace(" ", "")


def test_a_known_cost_is_printed() -> None:
    known = figures(tickets=7, covered=6, unassigned=1, findings=4, cost_usd=0.0123)
    assert "0.0123 USD" in Page(html_report(sample(figures=known))).text


def test_themes_are_ranked_by_count() -> None:
    ranking = html_report(sample()).split('<ol class="ranking"')[1].split("</ol>")[0]
    assert re.findall(r'href="#(F\d)"', ranking) == ["F1", "F2", "F3"]


def test_a_refit_is_said() -> None:
    assert "fitted anew" not in html_report(sample())
    assert "fitted anew" in html_report(sample(refitted=True))


def test_what_failed_is_named_and_of_much_the_beginning() -> None:
    assert "it &lt;was&gt; refused" in html_report(sample())
    assert "Failed" not in html_report(sample(lost=()))
    lost = tuple(f"passage {n}" for n in range(25))
    page = html_report(sample(lost=lost))
    assert "passage 19" in page
    assert "passage 20" not in page
    assert "And 5 more" in page


def test_without_groups_or_dates_their_parts_are_left_out() -> None:
    bare = [f.model_copy(update={"groups": {}}) for f in sample().findings]
    report = sample(group_by=None, groups=(), findings=tuple(bare), timeline=())
    page = Page(html_report(report))
    assert "groups" not in page.ids
    assert "Over time" not in page.text


def test_a_report_of_nothing_is_a_page() -> None:
    report = nothing()
    assert "No theme was found" in Page(html_report(report)).text


@pytest.mark.parametrize(("themes", "tickets", "quotes"), [(100, 200, 34), (400, 50, 19)])
def test_long_lists_are_cut_and_what_is_left_out_is_counted(
    themes: int, tickets: int, quotes: int
) -> None:
    text = Page(html_report(many(30_000, themes))).text
    each = 30_000 // themes
    assert text.count(f"And {each - tickets} more in findings.parquet") == themes
    assert text.count(f"And {each - quotes} more in findings.parquet") == themes
    assert "The 12 largest of 30 groups" in text


def test_a_large_corpus_gives_a_page_of_a_few_megabytes() -> None:
    quote = "The code arrived an hour after it had expired, and support did not answer. " * 2
    page = html_report(many(20_000, themes=900, rare=3000, periods=50, text=quote))
    assert len(page.encode()) < 10_000_000
    assert "And 2,000 more in <code>findings.parquet</code>" in page  # of the rare ones


def test_a_cited_rare_finding_is_shown_however_many_there_are() -> None:
    report = many(3000, themes=10, rare=1500)
    page = Page(html_report(report))
    assert "F1510" in page.ids
    assert "F1509" not in page.ids
    assert "And 500 more in findings.parquet" in page.text


def test_both_palettes_are_readable() -> None:
    """Contrast of WCAG 2.1, level AA, for text: at least 4.5 to 1."""
    css = Path(report_page.__file__).with_name("report.css").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    ]
    for palette, name in product(palettes, ("ink", "soft", "accent", "grave")):
        lighter, darker = sorted((luminance(palette[n]) for n in (name, "paper")), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (name, palette[name])


def luminance(color: str) -> float:
    """Relative luminance, WCAG 2.1."""
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_in_a_browser_a_citation_opens_its_evidence(
    width: int, scheme: str, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium here")
    file = tmp_path / "report.html"
    file.write_text(html_report(sample(source="x" * 300)), encoding="utf-8")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        heard: list[str] = []
        page.on("request", lambda request: heard.append(request.url))
        page.on("console", lambda message: heard.append(message.text))
        page.goto(file.as_uri())
        page.click("a.cite >> nth=0")
        page.wait_for_selector("#F1[open]")
        assert page.is_visible("text=Code war abgelaufen")
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        browser.close()
    assert heard == [file.as_uri()]
