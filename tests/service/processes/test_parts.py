"""What a process of the tree may be, as told to a fresh interpreter."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from service.processes.launch import parse_part
from service.processes.parts import Part, SupervisorPart, TrainingPart, WebPart


@pytest.mark.parametrize(
    "part",
    [
        WebPart(slot=3, node="host:8000", listen_fd=7),
        SupervisorPart(),
        TrainingPart(job_id="0" * 32, fence=2),
    ],
)
def test_a_part_survives_the_way_to_its_process(part: Part) -> None:
    assert parse_part(part.model_dump_json()) == part


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"kind": "thief"}',
        '{"kind": "training"}',
        '{"kind": "supervisor", "more": 1}',
        '{"kind": "web", "slot": "x", "node": "n", "listen_fd": 3}',
    ],
)
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_part(text)
