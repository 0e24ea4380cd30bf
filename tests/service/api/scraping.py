"""Read a page of metrics."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(page: str) -> Samples:
    """The value of each sample, by its name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(told: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of that name that have these labels, 0 where there are none."""
    wanted = set(labels.items())
    return sum(v for (found, has), v in told.items() if found == name and wanted <= has)


def labels(told: Samples, name: str, label: str) -> set[str]:
    """The values of a label."""
    return {dict(has)[label] for found, has in told if found == name}
