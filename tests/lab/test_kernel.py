"""What is taken from a kernel package: present, compressed, built in, missing."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from novacron_lab import kernel
from novacron_lab.errors import LabError

RELEASE = "6.1.0-1-cloud-amd64"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A package's tree with every module, in the file that a guest could load as it is."""
    root = tmp_path / "root"
    tree = root / "lib/modules" / RELEASE
    for module in kernel.MODULES:
        path = tree / f"kernel/{module}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(module)
    (tree / "modules.builtin").write_text("")
    (root / "boot").mkdir()
    (root / "boot" / f"vmlinuz-{RELEASE}").write_text("image")
    return root


def module(root: Path, name: str) -> Path:
    return root / "lib/modules" / RELEASE / f"kernel/{name}.ko"


def loaded(root: Path) -> list[str]:
    found = kernel.Kernel(kernel.pick(root, root.parent / "kernel"))
    assert found.image.read_text() == "image"
    return [path.read_text() for path in found.modules]


def test_modules_keep_the_order_in_which_they_load(root: Path) -> None:
    assert loaded(root) == list(kernel.MODULES)


def test_compressed_modules_are_unpacked(root: Path) -> None:
    plain = module(root, kernel.MODULES[3])
    plain.with_name(f"{plain.name}.xz").write_bytes(lzma.compress(plain.read_bytes()))
    plain.unlink()

    assert loaded(root) == list(kernel.MODULES)


def test_modules_built_into_the_kernel_are_not_loaded(root: Path) -> None:
    module(root, "drivers/virtio/virtio").unlink()
    builtin = root / "lib/modules" / RELEASE / "modules.builtin"
    builtin.write_text("kernel/drivers/virtio/virtio.ko\n")

    assert loaded(root) == [name for name in kernel.MODULES if name != "drivers/virtio/virtio"]


def test_a_kernel_without_a_module_is_refused_by_name(root: Path) -> None:
    module(root, "drivers/net/virtio_net").unlink()
    with pytest.raises(LabError, match=r"has no module virtio_net\.ko"):
        loaded(root)
