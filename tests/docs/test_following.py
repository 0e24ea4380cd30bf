"""What follows a page notices when the page is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.following import Block, Reader, Step, assert_text, blocks, reading, steps

PAGE = """
```python
for number in range(2):
    print(number)
```

```text
0
1
```

```console
$ echo one
one
$ printf 'two\\nthree'
two
three
```

```json
{"a": 1}
```
"""


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder = tmp_path_factory.mktemp("reader")
    with reading(folder, "http://127.0.0.1:9") as reader:
        yield reader


def test_a_page_is_taken_apart_into_blocks_and_steps(reader: Reader) -> None:
    assert [block.language for block in blocks(PAGE)] == ["python", "text", "console", "json"]
    assert blocks(PAGE)[-1] == Block("json", '{"a": 1}\n')
    found = steps(PAGE)
    assert [step.told for step in found] == ["0\n1", "one", "two\nthree"]
    for step in found:
        reader.follow(step)


@pytest.mark.parametrize(
    "step",
    [
        Step("python", "print(1 + 1)", "3"),
        Step("python", "print(1 + 1)", ""),
        Step("python", "2 + 2", ""),
        Step("python", "x = 5", "5"),
        Step("python", "undefined", ""),
        Step("python", "(", ""),
        # A prompt ends a block at an empty line, and then wants no more of it.
        Step("python", "def f():\n    x = 1\n\n    return x", ""),
        # … and begins no new statement without one.
        Step("python", "for i in range(1):\n    pass\nx = 5", ""),
        Step("console", "echo one", "two"),
        Step("console", "echo one", ""),
        Step("console", "true", "one"),
        Step("console", "false", ""),
        Step("console", "echo '{\"a\": 1}'", '{"a": 2}'),
    ],
)
def test_what_is_not_as_shown_is_noticed(reader: Reader, step: Step) -> None:
    with pytest.raises(AssertionError):
        reader.follow(step)


def test_a_session_goes_on_from_step_to_step(reader: Reader, tmp_path: Path) -> None:
    for step in [
        Step("python", "kept = 5", ""),
        Step("python", "kept + 1", "6"),
        Step("python", "[kept].append(6)", ""),
        Step("console", "kept=7", ""),
        Step("console", "echo $kept", "7"),
        Step("console", f"echo 8 > {tmp_path}/file", ""),
        Step("python", f"import pathlib\npathlib.Path('{tmp_path}/file').read_text()", "'8\\n'"),
    ]:
        reader.follow(step)


@pytest.mark.parametrize(
    ("told", "seen", "same"),
    [
        ("loss 0.1235", "loss 0.12348", True),
        ("loss 0.1235", "loss 0.1245", False),
        ("loss -0.1235", "loss 0.1235", False),
        ("loss 2e-05", "loss 2e-04", False),
        ("epoch 10", "epoch 11", False),
        ("epoch 10", "epoch 10 ", True),
        ("a … c", "a b\nb c", True),
        ("a … c", "a b d", False),
        ("1.5 of …", "1.5 of 20.5", True),
        ("(a) [b] $", "(a) [b] $", True),
        ("(a)", "a", False),
    ],
)
def test_numbers_are_held_to_their_digits_and_words_to_their_letters(
    told: str, seen: str, same: bool
) -> None:
    if same:
        assert_text(told, seen, "here")
    else:
        with pytest.raises(AssertionError):
            assert_text(told, seen, "here")
