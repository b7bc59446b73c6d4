"""Lay out what the agent's package installs: a virtual environment under /opt, and its settings.

The environment is made where it does not belong, with wheels alone, and nothing of that place
stays in it: scripts, compiled modules and metadata name the final one. The same sources give the
same bytes.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

HOME = Path("opt/novacron-agent")
_SCRIPTS = ("novacron-agent", "novacron-smart")
_PIPS_OWN = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # dpkg knows the files


@dataclass(frozen=True, slots=True)
class Tree:
    """`root` is what will be `/`; `python` is Debian's, which the package depends on."""

    root: Path
    python: Path
    version: str
    epoch: int

    def build(self, wheels: Path, pip: Sequence[str], sources: Path) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self._environment(wheels, pip)
        self._settings(sources / "packaging" / "config" / "agent.toml")
        self._documents(sources)
        self._settle()

    def compiled_modules(self) -> list[Path]:
        return sorted(self.home.rglob("*.so"))

    @property
    def home(self) -> Path:
        return self.root / HOME

    def _environment(self, wheels: Path, pip: Sequence[str]) -> None:
        binaries = self.home / "bin"
        binaries.mkdir(parents=True)
        (binaries / "python3").symlink_to(self.python)
        lines = ("home = /usr/bin", "include-system-site-packages = false", "")
        (self.home / "pyvenv.cfg").write_text("\n".join(lines), encoding="utf-8")
        install: tuple[str | Path, ...] = (*pip, "--python", binaries / "python3", "install")
        options = (
            "--quiet",
            "--no-index",
            "--no-deps",
            "--no-compile",
            "--no-warn-script-location",
        )
        subprocess.run((*install, *options, *sorted(wheels.glob("*.whl"))), check=True)
        self._forget_the_builder()
        self._compile()

    def _forget_the_builder(self) -> None:
        for name in _PIPS_OWN:
            for file in self.home.glob(f"lib/*/site-packages/*.dist-info/{name}"):
                file.unlink()
        for file in (self.home / "bin").iterdir():
            if file.name not in ("python3", *_SCRIPTS):
                file.unlink()  # other libraries' command lines
        for name in _SCRIPTS:
            script = self.home / "bin" / name
            text = script.read_text(encoding="utf-8")
            script.write_text(text.replace(f"{self.root}/", "/", 1), encoding="utf-8")

    def _compile(self) -> None:
        """Python must not write into /opt: what dpkg does not know would stay there for ever."""
        command = (self.python, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
        where = ("-s", self.root, "-p", "/", self.home / "lib")
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        subprocess.run((*command, *where), env=environment, check=True)

    def _settings(self, example: Path) -> None:
        """The example of all settings."""
        file = self.root / "etc" / "novacron" / "agent.toml"
        file.parent.mkdir(parents=True)
        file.write_bytes(example.read_bytes())

    def _documents(self, sources: Path) -> None:
        day = formatdate(self.epoch)
        entry = (
            f"novacron-agent ({self.version}) stable; urgency=medium\n\n"
            "  * What changed is in NEWS.md.gz, for all parts of NovaCron.\n\n"
            f" -- NovaCron <novacron@localhost>  {day.replace('-0000', '+0000')}\n"
        )
        documents = self.root / "usr" / "share" / "doc" / "novacron-agent"
        documents.mkdir(parents=True)
        manual = self.root / "usr" / "share" / "man" / "man8" / "novacron-agent.8.gz"
        manual.parent.mkdir(parents=True)
        _zip(entry.encode(), documents / "changelog.gz")
        _zip((sources / "CHANGELOG.md").read_bytes(), documents / "NEWS.md.gz")
        _zip((sources / "packaging" / "deb" / "novacron-agent.8").read_bytes(), manual)

    def _settle(self) -> None:
        """Modes and times are those of no builder."""
        for path in (self.root, *self.root.rglob("*")):
            if not path.is_symlink():
                runs = path.is_dir() or path.parent.name == "bin"
                path.chmod(0o755 if runs else 0o644)
            os.utime(path, (self.epoch, self.epoch), follow_symlinks=False)


def _zip(content: bytes, file: Path) -> None:
    file.write_bytes(gzip.compress(content, 9, mtime=0))
