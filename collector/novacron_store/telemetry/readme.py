"""Writes the generated tables: python -m novacron_store.telemetry.readme collector/README.md"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from novacron_store.telemetry.views import VIEWS
from novacron_store.telemetry.views.view import View

_GENERATED = re.compile(r"(<!-- tables: generated -->\n\n).*?(<!-- /tables -->)", re.DOTALL)


def render(text: str) -> str:
    """`text` with its list of tables as the code has them."""
    tables = "".join(_table(view) for view in VIEWS)
    return _GENERATED.sub(lambda found: f"{found[1]}{tables}{found[2]}", text)


def _table(view: View) -> str:
    rows = "".join(
        f"| `{name}` | `{kind}` | {meaning.replace('|', '&#124;')} |\n"
        for name, kind, meaning in view.described
    )
    heading = f"#### `{view.name}`\n\n{view.comment}.\n\n"
    return f"{heading}| column | type | meaning |\n|---|---|---|\n{rows}"


def main(path: Path) -> None:
    path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
