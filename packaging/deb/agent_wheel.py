"""The project's wheel with the agent's packages alone: a host gets no code it does not run."""

from __future__ import annotations

import base64
import configparser
import hashlib
import io
import zipfile
from pathlib import Path

PACKAGES = ("novacron_agent", "novacron_contract", "novacron_otlp")


def agents_part(wheel: Path, folder: Path) -> Path:
    """Write a wheel of the same name to `folder`, with what belongs to PACKAGES."""
    part = folder / wheel.name
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(part, "w") as kept:
        record: list[str] = []
        for entry in whole.infolist():
            top, _, rest = entry.filename.partition("/")
            metadata = top.endswith(".dist-info")
            if rest == "RECORD" or (not metadata and top not in PACKAGES):
                continue
            content = whole.read(entry)
            if metadata and rest == "entry_points.txt":
                content = _entry_points(content.decode()).encode()
            kept.writestr(entry, content)
            record.append(f"{entry.filename},sha256={_digest(content)},{len(content)}")
        name = next(one.filename for one in whole.infolist() if one.filename.endswith("/RECORD"))
        kept.writestr(name, "\n".join([*record, f"{name},,", ""]))
    return part


def _entry_points(text: str) -> str:
    """Those that lead into the packages: programs, plug-ins."""
    points = configparser.ConfigParser(delimiters=("=",))
    points.optionxform = str  # type: ignore[assignment,method-assign]  # names as they are
    points.read_string(text)
    for group in points.sections():
        for name, place in points.items(group):
            if place.partition(":")[0].partition(".")[0] not in PACKAGES:
                points.remove_option(group, name)
        if not points.options(group):
            points.remove_section(group)
    kept = io.StringIO()
    points.write(kept)
    return kept.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
