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
    "rules",
    [{"roles": ["lead"]}, {"on_expiry": "escalate", "escalate_to": ["lead"]}],
)
def test_a_role_that_nobody_has_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, rules: dict[str, object]
) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", '{"Ann": ["support"]}')
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", json.dumps({"default": rules}))
    with pytest.raises(SettingsError, match=r"Nobody in PATTERNS_REVIEWERS has a role .* lead"):
        get_settings().review_policy("default")


def test_a_setting_that_is_no_policy_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REVIEW_POLICIES", '{"default": {"people": 2}}')
    with pytest.raises(SettingsError, match=r"PATTERNS_REVIEW_POLICIES\.DEFAULT: .*need codes"):
        get_settings()


def test_a_setting_that_is_no_json_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTERNS_REVIEWERS", "Ann,Bob")
    with pytest.raises(SettingsError, match=r"PATTERNS_REVIEWERS is not JSON\."):
        get_settings()
