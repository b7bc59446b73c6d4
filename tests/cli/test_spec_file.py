"""YAML and JSON that people write: values as meant, lines where something is wrong, no traps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_cli.orders.spec_file import MAX_BYTES, parse, scalar
from novacron_contract.errors import ConfigError

TEXT = b"""\
name: web
mac: 52:54:00:12:34:56
answer: no
day: 2026-01-01
mode: 0644
nothing:
list:
- a: 1
  b: 'x: y'
- {c: 2.5}
text: |
  #cloud-config
  a: b
"""
KINDS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text()
VALUES = st.recursive(
    KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def test_values_are_what_they_look_like() -> None:
    assert parse(TEXT).value == {
        "name": "web",
        "mac": "52:54:00:12:34:56",
        "answer": "no",
        "day": "2026-01-01",
        "mode": 644,
        "nothing": None,
        "list": [{"a": 1, "b": "x: y"}, {"c": 2.5}],
        "text": "#cloud-config\na: b\n",
    }


def test_lines_are_known() -> None:
    document = parse(TEXT)
    assert document.line(("list", 0, "b")) == 9
    assert document.line(("list", 1, "missing")) == 10
    assert document.line(("text",)) == 11
    assert document.line(("elsewhere",)) == 1


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_json_is_read_as_json(value: dict[str, Any]) -> None:
    assert parse(json.dumps(value).encode()).value == value
    assert parse(b"\xef\xbb\xbf" + json.dumps(value, indent=2).encode()).value == value


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"a: &x [1]\nb: *x", "line 2: aliases"),
        (b"a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", "line 2: aliases"),
        (b"a: !!python/object/apply:os.system [id]", "line 1: the tag"),
        (b"a: !!binary aGk=", "line 1: the tag"),
        (b"a: !mine {}", "line 1: the tag"),
        (b"a: 1\nb: 2\na: 3", "line 3: 'a': is there twice"),
        (b'{"a": 1,\n "a": 2}', "line 2: 'a': is there twice"),
        (b"? [1]\n: 2", "line 1: expected a name"),
        (b"[" * 100, "line 1: deeper"),
        (b"{" * 5000, "line 1: deeper"),
        (b'{"a":' * 5000, "line 1: deeper"),
        (b"- x\n" * 30_000, "of more parts"),
        (b"a: [1,\nb", "no YAML"),
        (b"a: 1\n---\nb: 2", "line 2: no YAML: but found another document"),
        (b"a: 1\nb:\tc: d", "line 2: no YAML"),
        (b"a: \x07", "no YAML"),
        (b"a: 1\nb: \xff", "line 2: is not UTF-8"),
        (b"a: " + b"9" * 5000, "line 1: a number of more digits"),
        (b'{"a": NaN', "no YAML"),
        (b"#" * (MAX_BYTES + 1), "larger than 512 KiB"),
    ],
)
def test_traps_are_refused_with_their_line(raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(raw)
    assert message in str(refused.value)


@given(st.binary(max_size=60))
def test_whatever_it_is_it_is_read_or_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except ConfigError:
        return


def test_a_value_on_the_command_line_is_as_in_a_file() -> None:
    assert [scalar(text) for text in ("4", "4 GiB", "true", "", "[a, 1]", "'4'")] == [
        *(4, "4 GiB", True, None, ["a", 1], "4")
    ]
