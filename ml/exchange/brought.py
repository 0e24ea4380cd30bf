"""A state_dict and what is said of it become a bundle, or are refused with a reason."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ml.artifact import Bundle, check_state, skeleton
from ml.data.encoding import encoded_names
from ml.data.points import numbered
from ml.errors import (
    ArchitectureError,
    ArtifactError,
    CorruptArtifactError,
    ExchangeError,
    PluginError,
)
from ml.manifest import range_from_lists, scaling_from_lists
from ml.models.architecture import StateDict
from ml.models.build import shape_of
from ml.models.check import check_architecture
from ml.spec.exchange import ImportSpec
from ml.spec.model import BUILT_IN

MAX_NAMED = 5
"""Keys that a refusal names."""


def bundle_of(spec: ImportSpec, given: Mapping[str, torch.Tensor]) -> Bundle:
    """The bundle of a state_dict that somebody brings.

    Numbers of other precisions are rounded to those of the module, which is float32.

    Raises:
        ExchangeError: they are not a model together; says what was got and what was wanted.
    """
    state = dict(given)
    names = _names(spec, state)
    columns = encoded_names(names[0], spec.categories)
    features, targets = len(columns), len(names[1])
    if refusal := spec.architecture.refusal(features, targets):
        raise ExchangeError(refusal)
    numbers = sum(values.numel() for values in state.values())
    if numbers < spec.architecture.parameter_count(features, targets):
        # Before a module is made, which takes what memory the architecture says.
        shape = f"{features} features and {targets} targets"
        kind = spec.architecture.kind
        message = f"the state_dict holds {numbers:,} numbers, fewer than {kind} has for {shape}"
        raise ExchangeError(message)
    try:
        if type(spec.architecture) not in BUILT_IN:
            check_architecture(spec.architecture, features, targets)
        module = skeleton(spec.architecture, features, targets)
    except (ArchitectureError, ArtifactError, PluginError) as error:
        raise ExchangeError(str(error)) from error
    wanted = module.state_dict()
    _check_keys(state, wanted)
    try:
        state = check_state({key: _as(state[key], wanted[key], key) for key in wanted}, module)
        return Bundle(
            architecture=spec.architecture,
            feature_names=tuple(names[0]),
            target_names=tuple(names[1]),
            scaling=scaling_from_lists(spec.scaling, features, targets),
            state=state,
            categories={name: tuple(words) for name, words in spec.categories.items()},
            booleans=spec.booleans,
            range=range_from_lists(spec.range, features),
        )
    except CorruptArtifactError as error:
        raise ExchangeError(str(error)) from error


def _names(spec: ImportSpec, state: StateDict) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of features and targets; numbered where the state_dict alone tells how many there are."""
    features, targets = spec.feature_names, spec.target_names
    if features is None or targets is None:
        # A state_dict that is none of the architecture: one of each, to tell which keys it lacks.
        shape = shape_of(spec.architecture, state)
        if shape is None and type(spec.architecture) not in BUILT_IN:
            kind = spec.architecture.kind
            message = f"a state_dict of {kind} does not tell its features and targets: give their"
            raise ExchangeError(f"{message} names")
        count_F, count_T = shape or (1, 1)
        if min(count_F, count_T) < 1:
            raise ExchangeError("expected one feature and one target at least")
        features = features or numbered("x", count_F)
        targets = targets or numbered("y", count_T)
    return features, targets


def _check_keys(state: StateDict, wanted: StateDict) -> None:
    missing = [key for key in wanted if key not in state]
    others = len(state.keys() - wanted.keys())
    if not missing and not others:
        return
    told = ", ".join(missing[:MAX_NAMED]) + (", …" if len(missing) > MAX_NAMED else "")
    problems = [f"lacks {told}"] if missing else []
    problems += [f"has {others:,} keys that it does not know"] if others else []
    message = " and ".join(problems)
    raise ExchangeError(f"the state_dict is none of that architecture: it {message}")


def _as(values: torch.Tensor, like: torch.Tensor, key: str) -> torch.Tensor:
    """``values`` in the precision of ``like``; a count stays a whole number."""
    if values.dtype == like.dtype:
        return values
    if values.is_complex() or values.dtype == torch.bool:
        raise ExchangeError(f"{key}: expected {like.dtype}, got {values.dtype}")
    converted = values.to(like.dtype)
    if not like.is_floating_point() and not torch.equal(converted.to(values.dtype), values):
        raise ExchangeError(f"{key}: expected whole numbers")
    return converted
