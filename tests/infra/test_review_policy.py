import json

import pytest
from pydantic import ValidationError

from infra.errors import SettingsError
from infra.review_policy import ReviewPolicy
from infra.settings import get_settings


def test_the_version_is_that_of_what_the_policy_says() -> None:
    assert ReviewPolicy().version == ReviewPolicy(max_rounds=3).version
    assert ReviewPolicy().version != ReviewPolicy(max_rounds=4).version


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({"people": 2}, "several people need codes"),
        ({"on_expiry": "escalate"}, "on_expiry is escalate exactly where"),
        ({"escalate_to": ["lead"]}, "on_expiry is escalate exactly where"),
        ({"max_rounds": 0}, "greater than or equal to 1"),
        ({"person": 2}, "Extra inputs"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(rules: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        ReviewPolicy.model_validate(rules)


def test_a_policy_has_a_name_or_is_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = {"default": {"max_rounds": 5}, "changes": {"max_rounds": 1}}
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", json.dumps(policies))
    settings = get_settings()
    assert settings.review_policy("changes").max_rounds == 1
    assert settings.review_policy("replies").max_rounds == 5


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        (
            {"roles": ["lead"]},
            "needs 1 of PATTERNS_REVIEWERS with a role of: lead, and there are 0",
        ),
        ({"on_expiry": "escalate", "escalate_to": ["lead"]}, "with a role of: lead"),
        ({"people": 3, "codes": True}, "needs 3 of PATTERNS_REVIEWERS, and there are 2"),
        ({"people": 2, "codes": True, "roles": ["sales"]}, "needs 2 .* sales, and there are 1"),
    ],
)
def test_a_policy_by_which_too_few_could_decide_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, rules: dict[str, object], fault: str
) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", '{"Ann": ["support"], "Bob": ["sales", "support"]}')
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", json.dumps({"default": rules}))
    with pytest.raises(SettingsError, match=fault):
        get_settings().review_policy("default")


def test_two_people_are_enough_where_two_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", '{"Ann": ["support"], "Bob": ["support"]}')
    rules = {"people": 2, "codes": True, "roles": ["support"]}
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", json.dumps({"default": rules}))
    assert get_settings().review_policy("default").people == 2


def test_a_setting_that_is_no_policy_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", '{"default": {"people": 2}}')
    with pytest.raises(SettingsError, match=r"PATTERNS_REVIEW_POLICIES\.DEFAULT: .*need codes"):
        get_settings()


def test_a_setting_that_is_no_json_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", "Ann,Bob")
    with pytest.raises(SettingsError, match=r"PATTERNS_REVIEWERS is not JSON\."):
        get_settings()
