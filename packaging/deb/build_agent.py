"""Build dist/novacron-agent_VERSION_ARCH.deb: the agent, its libraries, its unit, its settings.

Wheels are gathered by the pinned hashes, laid out by agent_tree, and packed by nfpm. Debian's own
dpkg-shlibdeps says which libraries the compiled ones need.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from agent_tree import Tree
from agent_wheel import agents_part

SOURCES = Path(__file__).resolve().parents[2]
PYTHON = Path("/usr/bin/python3")
BINARIES = Path(sys.executable).parent
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
_CONTROL = "Source: x\n\nPackage: x\nArchitecture: any\n"  # all dpkg-shlibdeps asks for


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    try:
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or _time_of_commit())
        # The same sources give the same bytes: nothing below asks for the time.
        os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
        with tempfile.TemporaryDirectory(prefix="novacron-agent-deb-") as scratch:
            tree = Tree(Path(scratch) / "root", PYTHON, args.version, epoch)
            wheels = Path(scratch) / "wheels"
            _gather(wheels, Path(scratch) / "project")
            tree.build(wheels, _PIP, SOURCES)
            libraries = _libraries(tree)
            for version in (args.version, *args.also):
                _pack(tree, version, libraries, out)
    except subprocess.CalledProcessError as err:
        sys.stderr.write(f"agent-deb: {Path(err.cmd[0]).name} failed\n{err.stderr or ''}")
        return 1
    return 0


def _time_of_commit() -> str:
    return _run(("git", "-C", str(SOURCES), "log", "-1", "--format=%ct"))


def _gather(wheels: Path, project: Path) -> None:
    """All the agent needs as wheels; libvirt-python is compiled for the libvirt of this machine.

    It is compiled anew each time: a wheel from pip's cache may have been built in another way.
    """
    pins = SOURCES / "packaging" / "requirements" / "agent.txt"
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    hashed = ("--require-hashes", "--only-binary", ":all:", "--no-binary", "libvirt-python")
    _run((*_PIP, "download", *options, *hashed, "-r", pins, "-d", wheels))
    environment = {**os.environ, "CFLAGS": "-g0 -O2", "LDFLAGS": "-Wl,-s"}  # -g names folders
    for source in wheels.glob("*.tar.gz"):
        _run((*_PIP, "wheel", *options, "--no-cache-dir", source, "-w", wheels), environment)
    _run((*_PIP, "wheel", *options, SOURCES, "-w", project))
    agents_part(next(project.glob("*.whl")), wheels)


def _pack(tree: Tree, version: str, libraries: str, out: Path) -> None:
    architecture = _run(("dpkg", "--print-architecture"))
    package = out / f"novacron-agent_{version}_{architecture}.deb"
    major, minor = _run((str(PYTHON), "-c", "import sys; print(*sys.version_info[:2])")).split()
    environment = {
        **os.environ,
        "ROOT": str(tree.root),
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "PYTHON_FROM": f"{major}.{minor}",
        "PYTHON_BELOW": f"{major}.{int(minor) + 1}",
        "LIBRARIES": libraries,
    }
    recipe = "packaging/deb/novacron-agent.yaml"
    nfpm = (BINARIES / "nfpm", "package", "--packager", "deb")
    _run((*nfpm, "--config", recipe, "--target", package), environment)
    sys.stdout.write(f"{package}: {package.stat().st_size / 1e6:.1f} MB\n")


def _libraries(tree: Tree) -> str:
    """Debian's packages whose shared libraries the compiled modules load."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "debian").mkdir()
        (Path(folder) / "debian" / "control").write_text(_CONTROL, "utf-8")
        modules = map(str, tree.compiled_modules())
        said = _run(("dpkg-shlibdeps", "-O", "--warnings=0", *modules), folder=Path(folder))
    return said.removeprefix("shlibs:Depends=")


def _run(
    command: Sequence[str | Path], environment: dict[str, str] | None = None, folder: Path = SOURCES
) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _parser() -> argparse.ArgumentParser:
    project = tomllib.loads((SOURCES / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parser = argparse.ArgumentParser(prog="agent-deb", description="Build the agent's .deb.")
    parser.add_argument("--version", default=project["version"], help="of the package")
    parser.add_argument("--also", nargs="*", default=[], help="the same under these versions, too")
    parser.add_argument("--out", type=Path, default=SOURCES / "dist", help="where it goes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
