"""Architectures that an installed package brings, by the entry point `refit.architectures`.

The name of the entry point is the kind, its value the spec class. What is installed was put there
by the person who runs the service: no request and no file can bring code in.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Literal, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from ml.errors import PluginError
from ml.spec.architecture import ArchitectureBase

GROUP = "refit.architectures"

KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
"""What a kind looks like: it stands in requests, manifests and error messages."""

Architecture = type[ArchitectureBase]


def find_architectures(
    built_in: Iterable[Architecture], found: Iterable[EntryPoint] | None = None
) -> Mapping[str, Architecture]:
    """The spec class of each kind: those built in, then those installed, by name.

    ``found`` stands for the entry points of this environment, which takes some 2 ms to read.

    Raises:
        PluginError: one of them cannot be used. None is left out in silence: its models could be
            neither served nor trained, and nobody would know why.
    """
    table = {kind_of(spec): spec for spec in built_in}
    brought_by = dict.fromkeys(table, "Refit itself")
    points = entry_points(group=GROUP) if found is None else found
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        if point.name in table:
            raise _refusal(point, f"this kind is taken by {brought_by[point.name]}")
        table[point.name] = _load(point)
        brought_by[point.name] = _source(point)
    return MappingProxyType(table)


def kind_of(spec: Architecture) -> str:
    """The one literal that ``kind`` is narrowed to.

    Raises:
        TypeError: it is not narrowed to one string.
    """
    annotation = spec.model_fields["kind"].annotation
    values = get_args(annotation) if get_origin(annotation) is Literal else ()
    if len(values) != 1 or not isinstance(values[0], str):
        raise TypeError(f"{spec.__name__} needs `kind: Literal[…]` of one string")
    return values[0]


def _load(point: EntryPoint) -> Architecture:
    try:
        spec = point.load()
    except Exception as error:
        # A package may fail at import in any way it likes.
        raise _refusal(point, f"importing it raised {in_one_line(error)}") from error
    if not (isinstance(spec, type) and issubclass(spec, ArchitectureBase)):
        raise _refusal(point, "it is no subclass of ml.spec.architecture.ArchitectureBase")
    if reason := _why_not(spec, point.name):
        raise _refusal(point, reason)
    return spec


def _why_not(spec: Architecture, name: str) -> str | None:
    """What of the contract is broken that can be seen without torch; None where all is well."""
    try:
        kind = kind_of(spec)
    except TypeError as error:
        return str(error)
    if kind != name:
        return f"the entry point is called {name!r}, but its kind is {kind!r}"
    if not KIND.fullmatch(kind):
        return f"a kind is lower-case letters, digits, - and _, at most 32: {kind!r} is not"
    if spec.model_fields["kind"].default is PydanticUndefined:
        return f'its kind has no default: write `kind: Literal["{kind}"] = "{kind}"`'
    if inspect.isabstract(spec):
        return f"{spec.__name__} does not define {', '.join(sorted(spec.__abstractmethods__))}"
    module = getattr(spec, "module", None)
    if not isinstance(module, str) or not re.fullmatch(r"[\w.]+:\w+", module):
        return f'{spec.__name__} needs `module: ClassVar[str] = "package.module:Class"`'
    return _why_defaults_do_not_last(spec)


def _why_defaults_do_not_last(spec: Architecture) -> str | None:
    """Jobs and artifacts keep a spec as JSON; what it cannot be read back from is found now."""
    if any(field.is_required() for field in spec.model_fields.values()):
        return None
    try:
        before = spec.model_validate({})
        same = spec.model_validate(before.model_dump(mode="json")) == before
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"its defaults cannot be read back from JSON: {place}: {first['msg']}"
    return None if same else "its defaults are not the same when read back from JSON"


def in_one_line(error: Exception) -> str:
    """The class of an error and the first line of what it says."""
    words = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _refusal(point: EntryPoint, reason: str) -> PluginError:
    return PluginError(
        f"the architecture {point.name!r} ({point.value}), which {_source(point)} brings, cannot "
        f"be used: {reason}"
    )


def _source(point: EntryPoint) -> str:
    """The distribution, with its version."""
    found = point.dist
    return "no distribution" if found is None else f"{found.name} {found.version}"
