"""Which series people mean."""

from __future__ import annotations

import pytest

from novacron_contract.comparisons import comparison
from novacron_contract.errors import BadMessage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team=web", ("team", "=", "web")),
        ("team=", ("team", "=", "")),
        ("host.name!=a", ("host.name", "!=", "a")),
        ("vm.name=~web.*|db", ("vm.name", "=~", "web.*|db")),
        ("vm.name!~a=b", ("vm.name", "!~", "a=b")),
        ("url=http://x/?a=b!=c", ("url", "=", "http://x/?a=b!=c")),
        ("text=two\nlines", ("text", "=", "two\nlines")),
    ],
)
def test_a_label_is_compared_with_what_follows(text: str, expected: tuple[str, str, str]) -> None:
    assert comparison(text) == expected


@pytest.mark.parametrize("text", ["", "team", "=web", "!=web", "team!web", "a~b"])
def test_what_compares_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadMessage, match="expected LABEL=VALUE, or !=, =~, !~ between them"):
        comparison(text)
