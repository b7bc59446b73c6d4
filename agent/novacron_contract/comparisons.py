"""How people write which series they mean: `team=web`, `host.name!=a`, `vm.name=~web.*`."""

from __future__ import annotations

import re

from novacron_contract.errors import BadMessage

_COMPARISON = re.compile(r"([^=!~]+)(=~|!~|!=|=)(.*)", re.DOTALL)


def comparison(text: str) -> tuple[str, str, str]:
    """The label, `=`, `!=`, `=~` or `!~`, and the value or regular expression.

    Raises:
        BadMessage: it is none.
    """
    found = _COMPARISON.fullmatch(text)
    if not found:
        raise BadMessage(f"{text[:100]!r}: expected LABEL=VALUE, or !=, =~, !~ between them")
    name, op, value = found.groups()
    return name, op, value
