"""When a container is started again."""

from __future__ import annotations

import pytest

from lamina.container.restarting import ALWAYS, NO, ON_FAILURE, UNLESS_STOPPED, InvalidPolicy, Pauses, RestartPolicy


def test_each_policy_has_its_own_idea() -> None:
    assert not RestartPolicy(NO).wants(1, 0, stopped=False)
    assert RestartPolicy(ALWAYS).wants(0, 99, stopped=True)
    assert RestartPolicy(UNLESS_STOPPED).wants(0, 99, stopped=False)
    assert not RestartPolicy(UNLESS_STOPPED).wants(0, 0, stopped=True)
    assert RestartPolicy(ON_FAILURE).wants(1, 99, stopped=False)
    assert not RestartPolicy(ON_FAILURE).wants(0, 0, stopped=False)
    assert [RestartPolicy(ON_FAILURE, 2).wants(1, count, stopped=False) for count in (0, 1, 2)] == [True, True, False]


def test_pauses_double_up_to_a_minute_and_begin_anew_after_a_good_run() -> None:
    pauses = Pauses()
    assert [round(pauses.after(0.5), 1) for _ in range(12)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0),
    ]
    assert pauses.after(10.0) == 0.1


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (RestartPolicy("foo"), "invalid restart policy 'foo'"),
        (RestartPolicy(ALWAYS, 3), "maximum retry count cannot be used with restart policy 'always'"),
        (RestartPolicy(ON_FAILURE, -1), "maximum retry count cannot be negative"),
    ],
)
def test_other_policies_are_refused(policy: RestartPolicy, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        policy.check()


def test_a_missing_policy_is_none() -> None:
    assert RestartPolicy.of({}) == RestartPolicy.of({"RestartPolicy": {"Name": ""}}) == RestartPolicy(NO)
