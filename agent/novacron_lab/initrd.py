"""The guests' whole file system: busybox, a few modules and two scripts, as a cpio archive."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

_BUSYBOX = Path("/bin/busybox")
_DIRECTORIES = (
    "bin", "dev", "lib", "lib/modules", "proc", "srv", "srv/cgi-bin", "sys", "tmp",
)  # fmt: skip


def build(modules: list[Path]) -> bytes:
    """An initrd whose /init loads the modules in the order given."""
    archive = b"".join(_members(modules)) + _member("TRAILER!!!", 0, b"")
    return gzip.compress(archive, compresslevel=1)  # unpacking is what costs, in every guest


def _members(modules: list[Path]) -> Iterator[bytes]:
    scripts = resources.files("novacron_lab") / "guest"
    for directory in _DIRECTORIES:
        yield _member(directory, 0o040755, b"")
    yield _member("bin/busybox", 0o100755, _BUSYBOX.read_bytes())
    yield _member("init", 0o100755, (scripts / "init").read_bytes())
    yield _member("srv/cgi-bin/load", 0o100755, (scripts / "load").read_bytes())
    for module in modules:
        yield _member(f"lib/modules/{module.name}", 0o100644, module.read_bytes())


def _member(name: str, mode: int, content: bytes) -> bytes:
    """One file in cpio's "newc" form: 13 hexadecimal fields, the name, the content, each padded."""
    path = name.encode() + b"\0"
    links = 2 if mode & 0o040000 else 1
    fields = (0, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
