"""What turns a question into another one, however alike the two look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.guards import differences


@pytest.mark.parametrize(
    ("question", "stored", "guard"),
    [
        ("Is it free for 5 days?", "Is it free for 50 days?", "numbers"),
        ("Is it free for 5 days?", "Is it free for five hours?", "numbers"),
        ("A refund of $5", "A refund of €5", "numbers"),
        ("A trial of 14 days", "A trial of 1,400 days", "numbers"),
        ("What does Pro cost?", "What does Basic cost?", "names"),
        ("How do I use the v2.1 api?", "How do I use the v2.2 api?", "names"),
        ("Write to ann@example.com", "Write to bob@example.com", "names"),
        ("What does `git pull` do?", "What does `git push` do?", "names"),
        ("Can I pay by card?", "Can't I pay by card?", "negation"),
        ("Does it work?", "Why does it never work?", "negation"),
        ("How do I enable 2FA?", "How do I disable 2FA?", "opposites"),
        ("Enabling it", "I disabled it", "opposites"),
        ("Export with headers", "Export without headers", "opposites"),
        ("Subscribe to the list", "Unsubscribe from the list", "opposites"),
        ("Is the site available?", "Is the site unavailable?", "opposites"),
        ("How do I log in?", "How do I log out?", "opposites"),
        ("Is 5 greater?", "Is 5 smaller?", "opposites"),
        ("flights from rome to oslo", "flights from oslo to rome", "order"),
        ("Does Alice owe Bob?", "Does Bob owe Alice?", "order"),
        ("From 3 to 5 days", "From 5 to 3 days", "order"),
        ("Is it at 5 am?", "Is it at 5 pm?", "opposites"),
        ("Is C++ supported?", "Is C supported?", "names"),
        ("Is it ½ full?", "Is it ¼ full?", "numbers"),
        ("Who founded it?", "When founded they it?", "asked"),
        ("What is the square of -5?", "What is the square of 5?", "numbers"),
        ("Is it below −5 degrees?", "Is it below 5 degrees?", "numbers"),
        ("is it open on monday?", "is it open on tuesday?", "names"),
        ("the report of june", "the report of july", "names"),
        ("A gift for my mother", "A gift for my father", "opposites"),
        ("Is it billed monthly?", "Is it billed yearly?", "opposites"),
        ("Kann ich das Konto löschen?", "Kann ich das Konto nicht löschen?", "negation"),
        ("Puedo pagar con tarjeta", "Puedo pagar sin tarjeta", "negation"),
    ],
)
def test_a_difference_that_matters_is_seen_both_ways(
    question: str, stored: str, guard: str
) -> None:
    assert guard in differences(question, stored)
    assert guard in differences(stored, question)


@pytest.mark.parametrize(
    ("question", "stored"),
    [
        ("How do I reset my password?", "how can i reset my password"),
        ("A trial of five days", "A 5 days trial"),
        ("It takes 5min", "It takes 5 minutes"),
        ("Pay 1,000 dollars", "Pay $1000"),
        ("I'd like to export to GitHub", "How can I export to github?"),
        ("Tell me whether or not it is free", "Tell me whether it is free"),
        ("How Do I Change My Plan?", "How do I change my plan?"),
        ("Removing a card in trello.", "How to remove cards from trello?"),
        ("A stay of 3-5 days", "a stay of 3-5 days"),
        ("May I pay later?", "may i pay later"),
    ],
)
def test_other_words_for_the_same_pass(question: str, stored: str) -> None:
    assert differences(question, stored) == ()


@given(st.text(max_size=80))
def test_nothing_differs_from_itself(text: str) -> None:
    assert differences(text, text) == ()


@given(st.text(max_size=60), st.text(max_size=60))
def test_differences_are_the_same_both_ways(a: str, b: str) -> None:
    assert differences(a, b) == differences(b, a)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_two_numbers_never_pass_for_each_other(a: int, b: int) -> None:
    found = differences(f"Is it {a} days?", f"Is it {b} days?")
    assert ("numbers" in found) == (a != b)
