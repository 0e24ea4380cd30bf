"""Whether a new version becomes the active one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

PromoteRule = Literal["if_better", "always", "never"]


@dataclass(frozen=True)
class Contest:
    """New and active version scored on the same held-out rows, in raw units; lower is better.

    ``active`` is None where the active version takes other rows: other features or targets, the
    same in another order, or values of a category that the new one does not know. It is infinite
    where the active version cannot answer the rows held out.
    """

    metric: str
    new: float
    active: float | None
    active_version: int
    active_is_bootstrap: bool


def decide(rule: PromoteRule, contest: Contest | None) -> tuple[bool, str]:
    """Whether to promote, and the reason in words; ``contest`` is None for a first version."""
    if rule == "never":
        return False, "promote is never"
    if contest is None:
        return True, "first version"
    if rule == "always":
        return True, "promote is always"
    active = f"version {contest.active_version}"
    if contest.active is None:
        if contest.active_is_bootstrap:
            return True, f"{active} is the bootstrap line and takes other rows"
        why = "has other features or targets, or in another order, or values of a category that "
        why += "the new one lacks, so its clients would break"
        return False, f"{active} {why}: activate the new one by name"
    if contest.active == math.inf and contest.new < math.inf:
        return True, f"{active} cannot answer the rows held out, the new one can"
    scores = f"{contest.metric} {contest.new:.6g} against {contest.active:.6g} of {active}"
    # As good is good enough: a retrain on the same data is to be seen serving.
    if contest.new <= contest.active:
        return True, f"not worse: {scores} on the same rows"
    return False, f"worse: {scores} on the same rows"
