"""docs/metrics.md tells every metric, and nothing that is none."""

from __future__ import annotations

import re

from service.observability.families import FAMILIES
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "metrics.md").read_text()


def test_the_table_of_metrics_is_complete_and_right() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    wanted = []
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
        wanted.append(f"| `{family.name}` | {family.kind} | {labels} | {family.meaning} |")
    assert rows == wanted


def test_every_metric_that_a_page_names_is_one() -> None:
    known = {family.name for family in FAMILIES}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"`(refit_[a-z_]+)`", page.read_text())}
    assert named == known


def test_every_label_is_explained() -> None:
    after = PAGE.partition("Labels are bounded")[2].partition("\n## ")[0]
    own = {label for family in FAMILIES for label in family.labels if family.name != BUILD}
    # `state` is told by the jobs' own states.
    for label in own - {"state"}:
        assert f"`{label}`" in after, label


BUILD = "refit_build_info"
