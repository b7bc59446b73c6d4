"""TOML files as typed settings, and the one line that a mistake gets."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_contract.errors import ConfigError
from novacron_contract.settings import host_port, http_url, load, parse, read_secret, setting

T = TypeVar("T")


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = setting("64MiB", unit="By", minimum=1, maximum=2**40)
    listen: str = setting("127.0.0.1:1", check=host_port)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One of a list of tables; its two keys exclude each other."""

    size: int = setting(1, minimum=1)
    label: str = ""

    def __post_init__(self) -> None:
        if self.label and self.size > 1:
            raise ConfigError("label and size: only one of them")


@dataclass(frozen=True, kw_only=True)
class Schema:
    name: str
    interval: float = setting("10s", unit="s", minimum=1, maximum=3600)
    share: float = 0.5
    count: int = setting(3, minimum=0)
    on: bool = False
    place: Path = Path("/var/lib")
    colour: Colour = Colour.RED
    level: str = setting("low", choices=("low", "high"))
    hosts: tuple[str, ...] = ()
    inner: Inner = field(default_factory=Inner)
    maybe: str | None = None
    extra: Mapping[str, Any] | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    items: tuple[Item, ...] = ()


def refusal(**document: Any) -> str:
    with pytest.raises(ConfigError) as failure:
        parse({"name": "n", **document}, Schema, where="f.toml")
    return str(failure.value)


def test_what_is_not_said_has_its_default() -> None:
    settings = parse({"name": "n"}, Schema, where="f.toml")

    assert settings == Schema(name="n")
    assert settings.interval == 10.0
    assert settings.inner.size == 64 * 1024**2


def test_every_kind_of_value_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_text(
        """
        name = "café"
        interval = "1.5m"
        share = 1
        count = 7.0
        on = true
        place = "/srv"
        colour = "blue"
        level = "high"
        hosts = ["a", "b"]
        maybe = "yes"
        extra = { any = 1, thing = [2] }
        texts = { "a.b" = "c" }
        [inner]
        size = "1GiB"
        listen = "[::1]:4318"
        [[items]]
        size = 2
        [[items]]
        label = "second"
        """
    )

    assert load(file, Schema) == Schema(
        name="café",
        interval=90.0,
        share=1.0,
        count=7,
        on=True,
        place=Path("/srv"),
        colour=Colour.BLUE,
        level="high",
        hosts=("a", "b"),
        maybe="yes",
        extra={"any": 1, "thing": [2]},
        texts={"a.b": "c"},
        inner=Inner(size=2**30, listen="[::1]:4318"),
        items=(Item(size=2), Item(label="second")),
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"nam": 1}, "f.toml: nam: unknown; allowed: colour, count, extra, hosts, inner, interval"),
        ({"inner": {"siez": 1}}, "f.toml: inner: siez: unknown; allowed: listen, size"),
        ({"inner": 3}, "f.toml: inner: expected a table, got 3"),
        ({"interval": "10"}, 'f.toml: interval: expected "10s", "5m", "7d" or seconds, got \'10\''),
        ({"interval": "ten s"}, 'f.toml: interval: expected "10s", "5m", "7d" or seconds'),
        ({"interval": "10 parsecs"}, 'f.toml: interval: expected "10s", "5m", "7d" or seconds'),
        ({"interval": 0}, "f.toml: interval: must be at least 1, got 0"),
        ({"interval": "2h"}, "f.toml: interval: must be at most 3600, got 7200"),
        ({"interval": float("nan")}, "f.toml: interval: expected a finite number, got nan"),
        ({"share": float("inf")}, "f.toml: share: expected a finite number, got inf"),
        ({"inner": {"size": "3 KB"}}, 'f.toml: inner: size: expected "64MiB", "2GiB" or bytes'),
        ({"inner": {"size": "0.5B"}}, "f.toml: inner: size: expected a whole number, got 0.5"),
        ({"inner": {"listen": "here"}}, "f.toml: inner: listen: 'here': expected HOST:PORT"),
        ({"count": True}, "f.toml: count: expected a whole number, got True"),
        ({"count": "3"}, "f.toml: count: expected a whole number, got '3'"),
        ({"count": -1}, "f.toml: count: must be at least 0, got -1"),
        ({"share": "half"}, "f.toml: share: expected a number, got 'half'"),
        ({"on": 1}, "f.toml: on: expected true or false, got 1"),
        ({"place": 1}, "f.toml: place: expected text, got 1"),
        ({"colour": "green"}, "f.toml: colour: expected one of red, blue, got 'green'"),
        ({"colour": ["red"]}, "f.toml: colour: expected one of red, blue, got ['red']"),
        ({"level": "mid"}, "f.toml: level: expected one of low, high, got 'mid'"),
        ({"hosts": "a"}, "f.toml: hosts: expected a list, got 'a'"),
        ({"hosts": ["a", 2]}, "f.toml: hosts: expected text, got 2"),
        ({"extra": 1}, "f.toml: extra: expected a table, got 1"),
        ({"texts": {"a": 1}}, "f.toml: texts: a: expected text, got 1"),
        ({"items": {}}, "f.toml: items: expected a list, got {}"),
        ({"items": [{}, 2]}, "f.toml: items: 2: expected a table, got 2"),
        ({"items": [{}, {"size": 0}]}, "f.toml: items: 2: size: must be at least 1, got 0"),
        ({"items": [{"siez": 1}]}, "f.toml: items: 1: siez: unknown; allowed: label, size"),
        (
            {"items": [{"size": 2, "label": "x"}]},
            "f.toml: items: 1: label and size: only one of them",
        ),
        ({"name": 5}, "f.toml: name: expected text, got 5"),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(
    document: dict[str, Any], message: str
) -> None:
    assert refusal(**document).startswith(message)


def test_a_key_that_must_be_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^f\.toml: name: missing$"):
        parse({}, Schema, where="f.toml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"name = ", "not valid TOML: Invalid value"),
        (b"name = '\xff'", "cannot be read: "),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "f.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as failure:
        load(file, Schema)
    assert str(failure.value).startswith(f"{file}: {message}")


def attempt(action: Callable[[], T]) -> T | ConfigError:
    try:
        return action()
    except ConfigError as err:
        return err


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=5,
)
keys = st.sampled_from(
    ["name", "interval", "count", "inner", "colour", "hosts", "place", "extra", "texts", "items"]
)


@given(st.dictionaries(keys | st.text(string.printable), toml_values))
def test_any_document_is_settings_or_one_line(document: dict[str, Any]) -> None:
    outcome = attempt(lambda: parse(document, Schema, where="f.toml"))
    if isinstance(outcome, Schema):
        assert 1 <= outcome.interval <= 3600
        assert outcome.count >= 0
    else:
        assert str(outcome).startswith("f.toml: ")
        assert "\n" not in str(outcome)


@given(st.integers(1, 3600), st.sampled_from(["", " "]))
def test_seconds_may_be_written_as_text_or_number(seconds: int, space: str) -> None:
    written = [seconds, float(seconds), f"{seconds}s", f"{seconds * 1000}{space}ms"]
    found = {parse({"name": "n", "interval": w}, Schema, where="f").interval for w in written}
    assert max(found) - min(found) < 1e-9


@given(st.integers(1, 2**20))
def test_sizes_count_by_1024(number: int) -> None:
    settings = parse({"name": "n", "inner": {"size": f"{number}KiB"}}, Schema, where="f")
    assert settings.inner.size == number * 1024


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:4318", ("::1", 4318)),
        ("kvm-7.example:0", ("kvm-7.example", 0)),
    ],
)
def test_an_address_is_split(address: str, expected: tuple[str, int]) -> None:
    assert host_port(address) == expected


@given(st.text(max_size=20))
def test_an_address_is_split_or_refused(address: str) -> None:
    outcome = attempt(lambda: host_port(address))
    if isinstance(outcome, tuple):
        assert outcome[0]
        assert 0 <= outcome[1] <= 65535
    else:
        assert "expected HOST:PORT" in str(outcome)


@pytest.mark.parametrize("url", ["http://127.0.0.1:4318", "https://otlp.example/x", "http://[::1]"])
def test_a_url_is_taken(url: str) -> None:
    assert http_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:4318", "ftp://x", "http://", "http://x:99999", "http://[::1", "http://a b"],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="expected a URL such as"):
        http_url(url)


def test_a_secret_is_read_without_its_newline(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n")
    assert read_secret(file) == "s3cret"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="secret: the secret "):
        read_secret(file)
