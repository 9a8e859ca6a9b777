"""What a timeline keeps up to date is what going through all of its observations would find."""

from hypothesis import given
from hypothesis import strategies as st

from crestfall.core.types import Decision, Record
from crestfall.guard.journal import Observation
from crestfall.guard.scores import Scores
from crestfall.guard.timeline import Timeline

SEEN = st.tuples(
    st.integers(0, 9),
    st.sampled_from([0.1, 0.2, 0.3]),
    st.sampled_from(["", "", "score", "weights"]),
    st.sampled_from(["continue", "rollback", "stop"]),
)


@given(st.lists(SEEN), st.integers(0, 9))
def test_it_knows_what_a_search_would_find(seen: list[tuple[int, float, str, str]], step: int) -> None:
    journal = [
        Observation(i, Scores(Record(at, value), not_finite=odd), Decision(action, at))  # type: ignore[arg-type]
        for i, (at, value, odd, action) in enumerate(seen)
    ]
    counted = [o for i, o in enumerate(journal) if all(later.record.step > o.record.step for later in journal[i + 1 :])]
    for timeline, there in (
        (Timeline.of(journal), counted),
        (Timeline.of(journal).before(step), [o for o in counted if o.record.step < step]),
    ):
        assert list(timeline) == there
        finite = [o for o in there if not o.scores.not_finite]
        assert timeline.best == max(finite, key=lambda o: (o.record.value, -o.id), default=None)
        assert timeline.last == (there[-1] if there else None)
        assert timeline.rollbacks == sum(o.decision.action == "rollback" for o in there)
        assert timeline.at(step) == next((o for o in there if o.record.step == step), None)
        assert [o for o in journal if o in timeline] == there
