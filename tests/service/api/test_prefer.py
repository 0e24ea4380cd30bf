"""The headers Prefer (RFC 7240) and Idempotency-Key, as they come."""

from __future__ import annotations

import pytest

from service.api.prefer import idempotency_key, wait_seconds
from service.errors import InvalidRequestError


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("wait=30", 30),
        ("wait=0", 0),
        ("WAIT=30", 30),
        ("wait = 30", 30),
        (" wait=30 ", 30),
        ('wait="30"', 30),
        ("wait=30;foo=bar", 30),
        ("respond-async, wait=30", 30),
        ("respond-async,wait=30", 30),
        ("wait=30, return=minimal", 30),
        ("return=representation; wait=5", 5),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=999999999", 60),
        # nonsense is as good as no preference (RFC 7240, section 2)
        ("wait", None),
        ("wait=", None),
        ("wait=soon", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1e3", None),
        ("wait=30s", None),
        ("wait=9999999999", None),
        ("wait=" + "9" * 5000, None),
        ("await=30", None),
        ("no-wait=30", None),
        ("handling=lenient", None),
        ("wait=10 20", None),
    ],
)
def test_the_wait_of_a_preference_is_found_or_ignored(
    header: str | None, seconds: float | None
) -> None:
    assert wait_seconds(header, 60) == seconds


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ('"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e-40d5-43e8-bc93-6894a57f9324"),
        ("8e03978e", "8e03978e"),
        ('  "a"  ', "a"),
        ('"!#$%&()*+,-./:;<=>?@[]^_`{|}~"', "!#$%&()*+,-./:;<=>?@[]^_`{|}~"),
        ('"' + "x" * 255 + '"', "x" * 255),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_key_is_taken_quoted_or_bare(header: str | None, key: str | None) -> None:
    assert idempotency_key(header) == key


@pytest.mark.parametrize(
    "header",
    ["", '""', " ", '"a', 'a"', '"a"b"', '"a b"', "a b", '"é"', '"\x7f"', '"' + "x" * 256 + '"',
     "x" * 256, '"a", "b"'],
)  # fmt: skip
def test_what_is_no_key_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequestError, match="quoted string of 1 to 255") as caught:
        idempotency_key(header)
    assert [fault.pointer for fault in caught.value.faults] == [""]
