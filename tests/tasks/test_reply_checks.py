import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.reply_checks import reply_faults

INPUTS = {
    "ticket": "Order 4711 came on 3 March. I paid 1,200.50 euros. jo@example.org, 10:30",
    "passages": "[1] Refunds\nWithin 14 days, see https://help.example.com/refunds.",
}


@pytest.mark.parametrize(
    "reply",
    [
        "Hello Jo, you have 14 days. See https://help.example.com/refunds.",
        "Hello, order 4711 of 3 March cost 1200.50 euros.",
        "Hello, please do this:\n1. Open the app.\n2. Press the button.\n3) Wait.",
        "Hello, we write to jo@example.org at 10:30.",
        "Grüße! „Zitat“ – alles gut…",
    ],
)
def test_a_reply_that_says_what_is_known_passes(reply: str) -> None:
    assert reply_faults(reply, INPUTS) == []


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("Hello [Name], yes.", "a placeholder: [Name]"),
        ("Hello {{ name }}", "a placeholder"),
        ("Call XXX for help", "a placeholder: XXX"),
        ("Hello <customer name>", "a placeholder"),
        ("Hello <ticket>", "a placeholder"),
        ("You get 500 euros back.", "a number that stands nowhere: 500"),
        ("You have 30 days.", "a number that stands nowhere: 30"),
        ("See https://evil.example.com/x now", "an address that stands nowhere"),
        ("Write to eve@example.org", "an address that stands nowhere: eve@example.org"),
        ("=HYPERLINK(1)", "begins with ="),
        ("x" * 2001, "longer than 2000"),
    ],
)
def test_what_is_made_up_or_left_over_is_named(reply: str, fault: str) -> None:
    assert any(fault in each for each in reply_faults(reply, INPUTS))


@given(st.text(alphabet="ab .,!?\n", min_size=1).filter(str.strip))
def test_plain_words_pass(reply: str) -> None:
    assert reply_faults(reply, {}) == []


@given(st.integers(min_value=100, max_value=10**9))
def test_a_number_passes_exactly_where_it_is_known(number: int) -> None:
    reply = f"It costs {number} euros."
    assert reply_faults(reply, {"ticket": f"I paid {number:,}."}) == []
    assert reply_faults(reply, {"ticket": f"I paid {number + 1}."})
