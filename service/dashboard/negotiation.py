"""Whether a client would rather have the page than JSON."""

from __future__ import annotations


def prefers_html(accept: str | None) -> bool:
    """Whether a header `Accept` (RFC 9110, section 12.5.1) names HTML, and nothing like JSON more.

    `*/*`, as curl and most libraries send it, does not name HTML: programs keep their JSON.
    """
    weights = _weights(accept or "")
    html = max(weights.get("text/html", 0.0), weights.get("application/xhtml+xml", 0.0))
    return html > 0 and html >= weights.get("application/json", 0.0)


def _weights(accept: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[media] = max(weights.get(media, 0.0), _quality(parameters))
    return weights


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
