import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.embeddings import count_tokens
from tasks.monolithic_prompt import monolith
from tasks.prompt_lint import MOST, lint, lint_all
from tasks.prompt_sections import pieces
from tasks.prompts import Prompt, parse_prompt

MONOLITH = monolith().instructions
FRONT = """---
purpose: Do everything for a ticket.
inputs: [ticket]
model: fast
budget: BUDGET
cases: [{inputs: {ticket: x}, expect: {text: x}}]
---
"""
HEADINGS = (
    *("# Rules", "Context: he is new", "EXAMPLES", "Examples:", "---", "1. Sort it", "**Format**"),
    *(
        "<history>",
        "Title\n=====",
        "2) Answer",
        "Example 2: x",
        "A word of it.",
        "",
        "Äö 日本",
        "x" * 150,
    ),
)


def prompt(instructions: str, budget: int = 300, message: str = "$ticket") -> Prompt:
    front = FRONT.replace("BUDGET", str(budget))
    return parse_prompt("everything", f"{front}{instructions}\n=== input\n{message}\n")


def without_headings(text: str) -> str:
    """The text's paragraphs of more than a few words, as they are, without what heads them."""
    blocks = [block.split("\n") for block in text.split("\n\n")]
    bodies = [lines[len(lines[0].split()) < 6 :] for lines in blocks]
    return "\n\n".join("\n".join(lines) for lines in bodies if lines)


def test_every_prompt_of_the_project_is_small_tested_and_made_of_used_parts() -> None:
    assert [fault for each in lint_all() for fault in (each.prompt, *each.faults)] == [
        each.prompt for each in lint_all()
    ]


def test_a_monolith_is_refused_with_the_parts_that_it_is_to_be_split_into() -> None:
    found = lint(prompt(MONOLITH))
    assert found.total > 1_800
    assert "tokens of fixed text, and its budget is 300 (instructions" in found.faults[0]
    said = {fault.split(",")[0].strip('"'): fault for fault in found.faults[1:]}
    wanted = {
        "Context": "an input in the message",
        "HISTORY OF THE CONVERSATION": "an input in the message",
        "Rules": "parts/rules.md",
        "Sorting the ticket": "a prompt of its own",
        "Answering the customer": "a prompt of its own",
        "Note for the team": "a prompt of its own",
        "Output format": "`fills`",
        "Examples": "`examples` in the front matter",
    }
    assert {name: place in said.get(name, "") for name, place in wanted.items()} == (
        dict.fromkeys(wanted, True)
    )
    assert said.keys() - wanted.keys() == {"You are SupportBot"}


def test_a_monolith_without_headings_is_refused_with_its_paragraphs_the_largest_first() -> None:
    found = lint(prompt(without_headings(MONOLITH)))
    assert "it has no headings, so these are its paragraphs" in found.faults[1]
    sizes = [int(fault.rsplit(", ", 1)[1].split()[0]) for fault in found.faults[2:]]
    assert len(sizes) > 8
    assert sizes == sorted(sizes, reverse=True)
    assert "[2 March, 7:31] Customer: We got …" in found.faults[2]


def test_of_a_single_paragraph_the_lines_are_told() -> None:
    found = pieces("One line that says a thing.\nAnother one, which says a good deal more of it.")
    assert [piece.title for piece in found] == [
        "Another one, which says a good …",
        "One line that says a thing.",
    ]


def test_no_budget_makes_room_for_a_monolith() -> None:
    [fault, *_] = lint(prompt(MONOLITH, budget=5_000)).faults
    assert f"the most that a budget may be is {MOST}" in fault


def test_a_monolith_around_the_input_counts_as_much_as_one_before_it() -> None:
    found = lint(prompt("Answer.", message=f"{MONOLITH.replace('$', '')}\n$ticket"))
    assert found.tokens["message"] > 1_800
    assert '"Rules", ' in "\n".join(found.faults)
    assert "message" not in lint(prompt("Answer.")).tokens


def test_a_small_prompt_may_have_headings() -> None:
    assert lint(prompt("# Rules\nBe brief.\n\n# Format\nOne sentence.")).faults == ()


@pytest.mark.parametrize(
    ("text", "titles"),
    [
        ("# A b\nx\n## C\ny", ["A b", "C"]),
        ("Context\n=======\nx\n\nThe rest\n--------\ny", ["Context", "The rest"]),
        ("**Context**\nx\n**Rules:**\ny", ["Context", "Rules"]),
        ("<context>\nx\n</context>\n<rules>\ny\n</rules>", ["context", "rules"]),
        ("Context: x\nRules: y", ["Context", "Rules"]),
        ("BACKGROUND\nx\nOUR RULES:\ny", ["BACKGROUND", "OUR RULES"]),
        ("1. Sort\nRead it.\n2. Answer\nWrite it.", ["Sort", "Answer"]),
        ("Step 1: Sort it\nx\nStep 2: Answer it\ny", ["Sort it", "Answer it"]),
        ("What we know:\nx\n\nHow we speak:\ny", ["What we know", "How we speak"]),
        ("x one\n\n---\n\ny two", ["x one", "y two"]),
        ("# Rules\n1. Be brief\n2. Be kind\n3. Be calm\n\n# Format\nx", ["Rules", "Format"]),
        ("# Rules\nx\n\n# Examples\nExample 1: y\n---\nExample 2: z", ["Rules", "Examples"]),
        ("category: access or bug\nurgency: how bad it is\n\nsummary: one sentence", None),
        ("Sort it. Dear Ann: no.\nCustomer: help\nAgent: yes\n\nUser: thanks", None),
    ],
)
def test_sections_are_known_by_their_headings(text: str, titles: list[str] | None) -> None:
    found = {piece.title for piece in pieces(text)}
    if titles is None:
        assert not any(piece.belongs for piece in pieces(text))
    else:
        assert found == set(titles)


@given(st.lists(st.sampled_from(HEADINGS) | st.text(max_size=30), max_size=12).map("\n".join))
def test_the_pieces_of_a_text_have_no_more_tokens_than_the_text(text: str) -> None:
    sizes = [piece.tokens for piece in pieces(text)]
    assert min(sizes, default=0) >= 0
    assert sum(sizes) <= count_tokens([text])[0]
