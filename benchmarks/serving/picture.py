"""Draws the latencies that a steady client saw."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

from benchmarks.serving.steady import Outcome

WINDOW_SECONDS = 0.5


def draw(segments: dict[str, tuple[Outcome, list[float]]], path: Path) -> None:
    """One panel for each segment: p50 and p99 of each half second, and when versions were
    swapped (seconds of `time.monotonic`)."""
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(9, 3), layout="constrained")
    panels = figure.subplots(1, len(segments), sharey=True)
    for panel, (title, (outcome, swapped)) in zip(panels, segments.items(), strict=True):
        windows: dict[int, list[float]] = {}
        for sent, took in zip(outcome.sent, outcome.took, strict=True):
            if took is not None:
                windows.setdefault(int(sent / WINDOW_SECONDS), []).append(took * 1e3)
        at = [window * WINDOW_SECONDS for window in sorted(windows)]
        for percent, colour in ((50, "tab:blue"), (99, "tab:red")):
            values = [_percentile(windows[window], percent) for window in sorted(windows)]
            panel.plot(at, values, color=colour, drawstyle="steps-post", label=f"p{percent}")
        if swapped:
            moments = [moment - outcome.start for moment in swapped]
            lowest = [0.03] * len(moments)
            transform = panel.get_xaxis_transform()
            panel.plot(moments, lowest, "k|", markersize=5, label="swap", transform=transform)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("seconds")
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(which="both", axis="y", alpha=0.2)
    panels[0].set_ylabel("milliseconds")
    # Of all panels, once for each name, and beside them: inside it would hide what it names.
    named: dict[str, Artist] = {}
    for panel in panels:
        lines, names = panel.get_legend_handles_labels()
        named.update(zip(names, lines, strict=True))
    figure.legend(list(named.values()), list(named), loc="outside right upper", fontsize=8)
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "refit"}):
        figure.savefig(path, metadata={"Date": None})


def _percentile(values: list[float], percent: float) -> float:
    ascending = sorted(values)
    return ascending[min(len(ascending) - 1, int(len(ascending) * percent / 100))]
