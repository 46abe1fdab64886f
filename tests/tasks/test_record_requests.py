"""What became of records, held against what was asked for."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.record_requests import RecordRequest, judged, sample_requests

Records = dict[tuple[str, str], dict[str, Any]]

VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["a", "b"])
RECORDS = st.dictionaries(
    st.tuples(st.sampled_from(["x", "y"]), st.sampled_from(["1", "2", "3"])),
    st.fixed_dictionaries({"p": VALUES, "q": VALUES}),
    min_size=1,
)


def same(one: Any, other: Any) -> bool:
    return bool(one == other)


@given(RECORDS, RECORDS, st.data())
def test_right_is_exactly_what_was_wanted_and_nothing_else(
    before: Records, after: Records, data: st.DataObject
) -> None:
    cells = [(place, column) for place in before for column in before[place]]
    chosen = data.draw(st.lists(st.sampled_from(cells), unique=True, max_size=3))
    wanted = {}
    for place, column in chosen:
        value = data.draw(VALUES.filter(lambda v, old=before[place][column]: v != old))
        wanted[".".join((*place, column))] = value
    asked = RecordRequest(id="r", kind="plain", text="x", wanted=wanted)
    perfect = {place: dict(record) for place, record in before.items()}
    for (place, column), value in zip(chosen, wanted.values(), strict=True):
        perfect[place][column] = value
    assert judged(asked, before, perfect).is_right
    assert judged(asked, before, after).is_right == same(after, perfect)
    done = judged(asked, before, before)
    assert (done.harmed, done.wrote, done.missing) == (False, False, len(wanted))
    assert judged(asked, before, {}).lost == len(before)


def test_the_sample_has_requests_of_each_kind_the_same_number_of_each_where_they_are_limited() -> (
    None
):
    kinds = ("plain", "ambiguous", "injection")
    assert [each.kind for each in sample_requests(2)] == [k for k in kinds for _ in range(2)]
    assert len({each.id for each in sample_requests()}) == len(sample_requests()) == 12
