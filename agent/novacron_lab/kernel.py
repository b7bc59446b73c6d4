"""The guests' kernel and modules, from Debian's package, kept in a cache directory."""

from __future__ import annotations

import lzma
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from novacron_lab.commands import run
from novacron_lab.errors import LabError

CACHE = Path("/var/cache/novacron-lab")
_METAPACKAGE = "linux-image-cloud-amd64"
# In the order in which they can be loaded.
MODULES = (
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci",
    "drivers/virtio/virtio_balloon",
    "drivers/block/virtio_blk",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/acpi/button",
    "drivers/input/evdev",
)


@dataclass(frozen=True, slots=True)
class Kernel:
    directory: Path

    @property
    def image(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def modules(self) -> list[Path]:
        """In the order in which they can be loaded."""
        return sorted((self.directory / "modules").iterdir())


def cached(cache: Path) -> Kernel | None:
    """The newest kernel in the cache."""
    found = sorted(cache.glob("linux-image-*/vmlinuz"), key=lambda image: image.stat().st_mtime)
    return Kernel(found[-1].parent) if found else None


def fetch(cache: Path) -> Kernel:
    """Download the kernel that Debian's metapackage stands for, and unpack what guests need.

    Raises:
        LabError: apt does not know it or cannot download it, or it lacks a module.
    """
    package = _concrete_package()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as scratch:
        _download(package, Path(scratch))
        kernel = pick(Path(scratch) / "root", Path(scratch) / "kernel")
        final = cache / package
        shutil.rmtree(final, ignore_errors=True)
        kernel.rename(final)  # whole or not at all: another lab may be looking
    return Kernel(final)


def _concrete_package() -> str:
    try:
        answer = run("apt-cache", "depends", "--no-recommends", "--no-suggests", _METAPACKAGE)
    except LabError as err:
        answer = str(err)
    match = re.search(r"Depends: (linux-image-\S+-cloud-amd64)\b", answer)
    if match is None:
        raise LabError(
            f"apt does not know the kernel package {_METAPACKAGE} that the guests run; "
            "try: apt-get update"
        )
    return match[1]


def _download(package: str, scratch: Path) -> None:
    script = (
        'cd "$1" && apt-get -q -o APT::Sandbox::User=root download "$2" && dpkg-deb -x ./*.deb root'
    )
    try:
        run("sh", "-ec", script, "sh", str(scratch), package, timeout=600)
    except LabError as err:
        raise LabError(
            f"the guests' kernel {package} cannot be downloaded; check the network and the "
            f"package mirror, then try: apt-get update ({err})"
        ) from err


def pick(root: Path, kernel: Path) -> Path:
    """From an unpacked kernel package in `root`, what guests need, into the new folder `kernel`."""
    image = next((root / "boot").glob("vmlinuz-*"))
    release = image.name.removeprefix("vmlinuz-")
    (kernel / "modules").mkdir(parents=True)
    shutil.copyfile(image, kernel / "vmlinuz")
    tree = next(root.glob(f"**/lib/modules/{release}"))
    builtin = (tree / "modules.builtin").read_text()
    for number, module in enumerate(MODULES):
        name = f"kernel/{module}.ko"
        if name not in builtin.splitlines():
            content = _module(tree / name)
            (kernel / "modules" / f"{number:02}-{Path(name).name}").write_bytes(content)
    return kernel


def _module(path: Path) -> bytes:
    if path.exists():
        return path.read_bytes()
    compressed = path.with_name(f"{path.name}.xz")
    if compressed.exists():
        return lzma.decompress(compressed.read_bytes())
    raise LabError(f"the kernel package has no module {path.name}, which lab guests need")
