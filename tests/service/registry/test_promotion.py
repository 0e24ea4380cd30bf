"""The rule that decides whether a new version becomes the active one."""

from __future__ import annotations

import math

import pytest

from service.registry.promotion import Contest, PromoteRule, decide


def contest(new: float, active: float | None, is_bootstrap: bool = False) -> Contest:
    return Contest("mae", new, active, active_version=4, active_is_bootstrap=is_bootstrap)


BETTER, EQUAL, WORSE = contest(0.1, 0.2), contest(0.2, 0.2), contest(0.3, 0.2)
OTHER_SHAPE, OTHER_THAN_BOOTSTRAP = contest(0.1, None), contest(0.1, None, is_bootstrap=True)
DAMAGED, HOPELESS = contest(0.1, math.inf), contest(math.inf, 0.2)
BOTH_HOPELESS = contest(math.inf, math.inf)

TABLE: list[tuple[PromoteRule, Contest | None, bool, str]] = [
    ("never", None, False, "promote is never"),
    ("never", BETTER, False, "promote is never"),
    ("never", OTHER_THAN_BOOTSTRAP, False, "promote is never"),
    ("always", None, True, "first version"),
    ("always", WORSE, True, "promote is always"),
    ("always", OTHER_SHAPE, True, "promote is always"),
    ("always", HOPELESS, True, "promote is always"),
    ("if_better", None, True, "first version"),
    ("if_better", BETTER, True, "not worse: mae 0.1 against 0.2 of version 4 on the same rows"),
    ("if_better", EQUAL, True, "not worse: mae 0.2 against 0.2 of version 4 on the same rows"),
    ("if_better", WORSE, False, "worse: mae 0.3 against 0.2 of version 4 on the same rows"),
    (
        "if_better",
        OTHER_SHAPE,
        False,
        "version 4 has other features or targets, or in another order, or values of a category "
        "that the new one lacks, so its clients would break: activate the new one by name",
    ),
    (
        "if_better",
        OTHER_THAN_BOOTSTRAP,
        True,
        "version 4 is the bootstrap line and takes other rows",
    ),
    (
        "if_better",
        DAMAGED,
        True,
        "version 4 cannot answer the rows held out, the new one can",
    ),
    ("if_better", HOPELESS, False, "worse: mae inf against 0.2 of version 4 on the same rows"),
    (
        "if_better",
        BOTH_HOPELESS,
        True,
        "not worse: mae inf against inf of version 4 on the same rows",
    ),
    (
        "if_better",
        contest(math.nan, 0.2),
        False,
        "worse: mae nan against 0.2 of version 4 on the same rows",
    ),
]


@pytest.mark.parametrize(("rule", "held", "promoted", "reason"), TABLE)
def test_the_rule_decides_as_the_table_says(
    rule: PromoteRule, held: Contest | None, promoted: bool, reason: str
) -> None:
    assert decide(rule, held) == (promoted, reason)


def test_a_bootstrap_line_of_the_same_shape_is_beaten_like_any_other() -> None:
    assert decide("if_better", contest(0.3, 0.2, is_bootstrap=True))[0] is False
    assert decide("if_better", contest(0.1, 0.2, is_bootstrap=True))[0] is True
