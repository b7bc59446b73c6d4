"""Build the wheel into dist/ and fail unless every file of every package is in it."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path


def main() -> int:
    wheel = _build(Path("dist"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = next(name for name in names if name.endswith("entry_points.txt"))
        scripts = _scripts(archive.read(metadata).decode())
    problems = [f"missing: {name}" for name in sorted(_expected() - names)]
    problems += [f"does not belong: {name}" for name in sorted(names) if _is_foreign(name)]
    problems += [f"no module for {name}" for name, path in scripts.items() if path not in names]
    for problem in problems:
        print(f"{wheel}: {problem}", file=sys.stderr)
    print(f"{wheel}: {len(names)} files, {wheel.stat().st_size / 1024:.0f} KiB")
    return int(bool(problems))


def _build(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder))
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return next(folder.glob("*.whl"))


def _packages() -> list[Path]:
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    return [Path(package) for package in wheel["packages"]]


def _expected() -> set[str]:
    """What git knows in the packages' folders: modules, py.typed, assets, migrations."""
    tracked = subprocess.run(
        ("git", "ls-files", "-z", *map(str, _packages())), capture_output=True, check=True
    )
    paths = [Path(name) for name in tracked.stdout.decode().split("\0") if name]
    expected = {path.relative_to(path.parts[0]).as_posix() for path in paths}
    return expected | {f"{package.name}/py.typed" for package in _packages()}


def _is_foreign(name: str) -> bool:
    packages = {package.name for package in _packages()}
    top = name.split("/")[0]
    return top not in packages and not top.endswith(".dist-info")


def _scripts(entry_points: str) -> dict[str, str]:
    parser = configparser.ConfigParser()
    parser.read_string(entry_points)
    modules = {name: value.split(":")[0] for name, value in parser["console_scripts"].items()}
    return {name: f"{module.replace('.', '/')}.py" for name, module in modules.items()}


if __name__ == "__main__":
    sys.exit(main())
