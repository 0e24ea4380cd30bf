"""What pydantic says of a body, as faults: a JSON pointer and a sentence, never a cell of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails, from_json

from ml.spec.base import FLOAT32_MAX
from ml.spec.model import ARCHITECTURES
from service.errors import Fault, InvalidRequestError

MAX_FAULTS = 20
"""A body of a million wrong numbers is answered with the first few."""

MAX_NAME = 100
"""Characters of a field name that a pointer repeats."""

_TAGS = frozenset(
    {
        *("line", "points", "dataset", "numbers", "number", "rows"),
        *("text", "boolean", "name", "names"),
        *("texts", "text_rows", "booleans", "boolean_rows"),
        *("literal['scratch','active']", "constrained-int"),
        *ARCHITECTURES,
        *("sgd", "adam", "adamw", "lbfgs", "constant", "cosine", "one_cycle", "plateau"),
    }
)
"""Names that pydantic puts into a location to say which member of a union it means."""


def invalid_body(error: ValidationError, body: bytes) -> InvalidRequestError:
    """A pydantic error about a JSON body, as faults with JSON pointers into it."""
    problems = _without_echoes(error.errors(include_url=False))
    try:
        document: Any = from_json(body)
    except ValueError:
        document = None
    faults = [Fault(json_pointer(p["loc"], document), _sentence(p)) for p in problems[:MAX_FAULTS]]
    count = len(problems)
    first = f"{faults[0].pointer or 'the body'}: {faults[0].detail}"
    detail = first if count == 1 else f"{first} (and {count - 1} more)"
    return InvalidRequestError(detail, faults)


def _without_echoes(problems: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without the complaint that a list is empty where its first element is wrong: with
    `fail_fast`, pydantic says both."""

    def lies_in(inner: ErrorDetails, outer: ErrorDetails) -> bool:
        depth = len(outer["loc"])
        return len(inner["loc"]) > depth and inner["loc"][:depth] == outer["loc"]

    return [
        problem
        for problem in problems
        if problem["type"] != "too_short" or not any(lies_in(other, problem) for other in problems)
    ]


def json_pointer(location: Iterable[str | int], document: Any) -> str:
    """The JSON pointer (RFC 6901) of a pydantic location, without the names of union members."""
    pointer, here, after_tag = "", document, False
    parts = list(location)
    for place, part in enumerate(parts):
        # In an object of a list, which is a row by name, every name is a feature's.
        in_row = place > 0 and isinstance(parts[place - 1], int)
        after_tag = not (after_tag or in_row) and _is_tag(part, here, place == len(parts) - 1)
        if after_tag:
            continue
        here = here[part] if _has(here, part) else None
        pointer += "/" + str(part)[:MAX_NAME].replace("~", "~0").replace("/", "~1")
    return pointer


def _is_tag(part: str | int, here: Any, is_last: bool) -> bool:
    """Whether ``part`` names no field of ``here`` but the member of a union that ``here`` is."""
    chosen = (here.get("kind"), here.get("source")) if isinstance(here, dict) else ()
    if _has(here, part):
        # `{"source": "dataset", "dataset": …}`: the name of the member comes before any field.
        return not is_last and part in chosen
    return part in chosen or part in _TAGS


def _has(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _sentence(problem: Mapping[str, Any]) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _WANTED:
        return f"expected {_WANTED[kind]}, got {_name_of(problem['input'])}"
    if kind in ("less_than_equal", "greater_than_equal") and FLOAT32_MAX in (
        context.get("le"),
        -context.get("ge", 0),
    ):
        return f"expected a number within float32 (±{FLOAT32_MAX:.7g})"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "missing":
        return "this field is required"
    if kind == "json_invalid":
        # Its words hold a position, and no part of the body.
        return str(problem["msg"])
    if kind in ("union_tag_invalid", "union_tag_not_found", "literal_error", "enum"):
        # The usual words quote what was sent.
        wanted = context.get("expected_tags") or context.get("expected")
        return f"expected one of {wanted}" if wanted else "expected an object"
    return str(problem["msg"])


_WANTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def _name_of(value: object) -> str:
    """What kind of JSON value was sent; never the value itself."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "a whole number"
        case float():
            return "a number" if math.isfinite(value) else "one that is not finite"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "something else"
