"""novacron query: a metric over time, as a sparkline with its figures."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from novacron_cli.command import Commands, add_command, collector_of
from novacron_cli.output import moment, plain, print_json, print_table, sparkline
from novacron_cli.series import add_series_to, run_series
from novacron_contract.units import duration, readable

_POINTS = 60
_RATES = {"s": "1"}  # seconds of CPU per second are a share
_SUMMARY = "show a metric over time: of a VM or host, or of all that have it"
_EXAMPLES = """\
examples:
  novacron query vm.cpu.utilization --entity web-1
  novacron query vm.network.io --entity web-1 --from -6h --filter network.io.direction=receive
  novacron query system.memory.usage --entity kvm-a --from 2026-11-24T00:00:00Z --json
  novacron query vm.network.io --over rate --sum-by team --where network.io.direction=receive
  novacron query vm.cpu.utilization --over quantile --share 0.95 --window 1d --where 'team=~web.*'
  novacron query http.server.request.duration --histogram-quantile 0.95 --by entity --window 5m

Of one machine, counters are shown as their rate per second. With --over or --histogram-quantile, or
without --entity, all series are asked, and --where compares attributes and tags: = != =~ !~
(regular expressions)."""


def add_to(commands: Commands) -> None:
    parser = add_command(commands, "query", _run, _SUMMARY, _EXAMPLES)
    parser.add_argument("metric", metavar="METRIC", help="its name, such as vm.disk.io")
    parser.add_argument("--entity", metavar="ID|NAME", help="a VM or a host")
    parser.add_argument(
        "--from", dest="start", default="-1h", metavar="TIME", help="(default: -1h)"
    )
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="(default: now)")
    parser.add_argument("--aggregate", choices=("avg", "min", "max"), help="(default: avg)")
    parser.add_argument("--points", type=int, default=_POINTS, help=f"(default: {_POINTS})")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="ATTRIBUTE=VALUE", help="repeatable"
    )
    add_series_to(parser)


def _run(args: Namespace) -> int:
    of_many = args.over or args.by is not None or args.histogram_quantile is not None
    if of_many or not args.entity:
        return run_series(args)
    filters = dict(text.partition("=")[::2] for text in args.filter)
    asked = {
        "metric": args.metric,
        "entity": args.entity,
        "from": args.start,
        "to": args.end,
        "max_points": args.points,
        "aggregate": args.aggregate,
        **{f"filter.{name}": value for name, value in filters.items()},
    }
    answer = collector_of(args).get("/v1/query", asked)
    if args.json:
        print_json(answer)
        return 0
    if not answer["lines"]:
        print(f"no values of {plain(args.metric)} for {plain(args.entity)} in that time")
        return 0
    _show(answer)
    return 0


def _show(answer: dict[str, Any]) -> None:
    unit = (
        answer["unit"]
        if answer["kind"] == "gauge"
        else _RATES.get(answer["unit"], f"{answer['unit']}/s")
    )
    step = duration(answer["step_s"])
    start, end = moment(answer["from"]), moment(answer["to"])
    print(f"{plain(answer['metric'])} from {start} to {end}, every {step}")
    figures = ("LOW", "AVERAGE", "HIGH", "LAST")
    lines = [_line(line, unit) for line in answer["lines"]]
    print_table(("SERIES", *figures, "OVER TIME"), lines, right=figures)


def _line(line: dict[str, Any], unit: str) -> tuple[str, ...]:
    values = [value for value in line["values"] if value is not None]
    figures = (min(values), sum(values) / len(values), max(values), values[-1]) if values else ()
    attributes = " ".join(f"{key}={text}" for key, text in line["attributes"].items())
    shown = [readable(figure, unit) for figure in figures] or ["–"] * 4
    return (attributes, *shown, sparkline(line["values"]))
