from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.lexemes import lexemes, passage_weights, question_weights, stem


def test_words_meet_in_their_stems_and_empty_words_are_left_out() -> None:
    assert lexemes("The exports of exporting it") == {"export": 2}


def test_names_of_code_are_found_whole_and_by_their_parts() -> None:
    assert set(lexemes("DiffExecutor")) == {"diffexecutor", "diff", "executor"}
    assert {"apply_patch", "patch"} <= set(lexemes("apply_patch(x)"))
    assert {"httpserver", "http", "server"} <= set(lexemes("HTTPServer"))


def test_letters_that_look_alike_are_alike() -> None:
    assert lexemes("ｃａｆé customer’s") == lexemes("café customer's") == lexemes("CAFÉ customer")


def test_threads_that_stem_at_once_find_what_one_finds() -> None:
    words = [f"{a}{b}{c}ings" for a in "bcdfglmnprst" for b in "aeiou" for c in "bcdfglmnprst"]
    alone = [stem(word) for word in words]
    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(lambda _: [stem(word) for word in words], range(40)):
            assert found == alone


@given(st.text())
def test_any_text_has_lexemes_that_can_be_kept(text: str) -> None:
    for lexeme, count in lexemes(text).items():
        assert count > 0
        assert lexeme.split() == [lexeme]  # they are sent joined by blanks
        assert "\0" not in lexeme


@given(st.dictionaries(st.text("abc", min_size=1), st.integers(1, 50)), st.floats(1, 500))
def test_a_passages_weights_are_shares(counts: dict[str, int], mean: float) -> None:
    assert all(0 < weight < 1 for weight in passage_weights(counts, mean).values())


def test_a_lexeme_weighs_more_the_oftener_it_stands_and_the_shorter_the_passage() -> None:
    [once], [twice] = (passage_weights({"a": n}, 10).values() for n in (1, 2))
    first, *_ = passage_weights({"a": 1, "b": 30}, 10).values()
    assert first < once < twice


def test_a_questions_weights_sum_to_one_and_the_rarer_weigh_more() -> None:
    weights = [*question_weights({"absent": 0, "rare": 3, "often": 900}, 1000).values()]
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)
    assert question_weights({}, 1000) == {}


def test_counts_of_another_version_give_no_negative_weight() -> None:
    assert min(question_weights({"a": 12, "b": 1}, 10).values()) >= 0
