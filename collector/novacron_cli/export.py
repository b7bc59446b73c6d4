"""novacron export: metrics as a Parquet, Arrow or CSV file."""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from novacron_cli.collector import Failed
from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.output import moment, plain, print_json
from novacron_cli.series import OVER
from novacron_contract.errors import ConfigError
from novacron_contract.units import readable

_FORMS = {".parquet": "parquet", ".arrow": "arrow", ".csv": "csv"}
_PIPE = "-"
_SUMMARY = "save metrics as one table for analytics: aligned, gaps marked, in base units"
_EXAMPLES = """\
examples:
  novacron export vm.cpu.utilization --from -7d --step 5m -o cpu.parquet
  novacron export vm.cpu.utilization vm.network.io --tag team --where 'team=~web.*' -o web.csv
  novacron export vm.memory.usage --over max --from -30d --step 1h -o memory.arrow
  novacron export vm.cpu.utilization --step raw --where entity=web-1 | head

A row for each series and each time: time, metric, entity, attributes, tags, unit, value, count.
Without --over gauges are averages, counters rates by second. docs/export.md tells all of it."""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "export", _run, _SUMMARY, _EXAMPLES)
    parser.add_argument("metrics", metavar="METRIC", nargs="+", help="such as vm.disk.io")
    parser.add_argument(
        "--from", dest="start", default="-1h", metavar="TIME", help="(default: -1h)"
    )
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="(default: now)")
    parser.add_argument("--step", metavar="TIME", help="such as 5m; raw: samples as sent "
                        "(default: at most 500 times)")  # fmt: skip
    parser.add_argument("--over", choices=OVER, help="what a window of samples becomes")
    parser.add_argument("--share", type=float, metavar="0…1", help="of a quantile (default: 0.5)")
    parser.add_argument("--where", action="append", default=[], metavar="LABEL=VALUE",
                        help="only series that match: = != =~ !~; repeatable")  # fmt: skip
    parser.add_argument("--tag", action="append", default=[], metavar="LABEL",
                        help="a column for a label of the machine, such as team; repeatable",
                        )  # fmt: skip
    parser.add_argument("-o", "--output", default=_PIPE, metavar="FILE",
                        help=".parquet, .arrow or .csv; -: CSV to standard output")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace a FILE that is there")


@dataclass(frozen=True)
class Saved:
    """What a file has; for --json."""

    file: str
    rows: int
    series: int
    start: str
    end: str
    bytes: int


def _run(args: Namespace) -> int:
    if args.output == _PIPE:
        if sys.stdout.isatty():
            raise ConfigError("a table is for a file or a program: say -o FILE, or | PROGRAM")
        _download(args, "csv", sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return 0
    path = Path(args.output)
    form = _FORMS.get(path.suffix.lower())
    if form is None:
        raise ConfigError(f"-o {path}: expected a name that ends in {', '.join(_FORMS)}, or -")
    if path.exists() and not args.force:
        raise _is_there(path)
    with _written(path, args.force) as file:
        saved = _download(args, form, file)
    if args.json:
        print_json(asdict(saved))
    else:
        _show(saved)
    return 0


def _download(args: Namespace, form: str, file: BinaryIO) -> Saved:
    query = {"from": args.start, "to": args.end, "step": args.step, "over": args.over,
             "share": args.share, "format": form, "metric": args.metrics, "where": args.where,
             "tag": args.tag}  # fmt: skip
    size = 0
    with collector_of(args).stream("/v1/export", query) as answer:
        if "Novacron-Rows" not in answer.headers:
            raise Failed("the answer is no table: is that the collector's API?")
        for piece in answer.iter_bytes():
            file.write(piece)
            size += len(piece)
        told = answer.headers
        return Saved(
            args.output,
            int(told["Novacron-Rows"]),
            int(told["Novacron-Series"]),
            told["Novacron-From"],
            told["Novacron-To"],
            size,
        )


@contextmanager
def _written(path: Path, replacing: bool) -> Iterator[BinaryIO]:
    """A file beside it that gets its name when all is written; what fails leaves nothing."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from err
    try:
        with open(number, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # as any other new file
        if replacing or not _linked(name, path):
            os.replace(name, path)
    except FileExistsError as err:
        raise _is_there(path) from err
    except OSError as err:
        raise ConfigError(f"{path}: {err.strerror}") from err
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


def _linked(name: str, path: Path) -> bool:
    """Whether the file has the name `path` now, too. Where files have one name only (FAT), it is
    taken by an empty one.

    Raises:
        FileExistsError: somebody else has it, perhaps since a moment ago.
    """
    try:
        os.link(name, path)
    except FileExistsError:
        raise
    except OSError:
        path.open("xb").close()
        return False
    return True


def _is_there(path: Path) -> ConfigError:
    return ConfigError(f"{path} is there already: --force replaces it")


def _show(saved: Saved) -> None:
    rows = f"{saved.rows} {'row' if saved.rows == 1 else 'rows'}"
    span = f"{moment(saved.start)} to {moment(saved.end)}"
    size = readable(saved.bytes, "By")
    print(f"{rows} of {saved.series} series, {span}, {size}: {plain(saved.file)}")
