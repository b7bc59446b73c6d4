"""novacron query over many series: functions over windows, by any label."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from novacron_cli.command import collector_of
from novacron_cli.output import plain, print_json, print_table, sparkline
from novacron_contract.comparisons import comparison
from novacron_contract.errors import BadMessage
from novacron_contract.units import duration, seconds

OVER = ("avg", "min", "max", "sum", "count", "first", "last", "stddev", "quantile", "increase",
         "rate", "delta", "derivative")  # fmt: skip
_BY = ("sum", "avg", "min", "max", "count")


def add_series_to(parser: ArgumentParser) -> None:
    many = parser.add_argument_group("of many series")
    many.add_argument("--over", choices=OVER, help="what a window of samples becomes (avg)")
    many.add_argument("--where", action="append", default=[], metavar="LABEL=VALUE",
                      help="only series that match; repeatable")  # fmt: skip
    for how in _BY:
        many.add_argument(f"--{how}-by", metavar="LABEL,…", help=f"the {how} of such series")
    many.add_argument(
        "--histogram-quantile", type=float, metavar="SHARE",
        help="of a histogram: the value that this share, such as 0.95, does not exceed",
    )  # fmt: skip
    many.add_argument(
        "--by", metavar="LABEL,…", help="a histogram for each of their values (default: one of all)"
    )
    many.add_argument("--window", metavar="TIME", help="such as 5m (default: one step)")
    many.add_argument("--step", metavar="TIME", help="(default: by --points)")
    many.add_argument("--offset", metavar="TIME", help="so long before")
    many.add_argument("--share", type=float, default=0.5, help="of a quantile (default: 0.5)")
    many.add_argument("--explain", action="store_true", help="the SQL, and how long it took")


def run_series(args: Namespace) -> int:
    asked: dict[str, Any] = {
        "expression": _expression(args),
        "from": args.start,
        "to": args.end,
        "points": args.points,
        "explain": args.explain,
    }
    if args.step:
        asked["step"] = _seconds("--step", args.step)
    answer = collector_of(args).post("/v1/series", asked).json()
    if args.json:
        print_json(answer)
        return 0
    if answer["series"]:
        _show(answer)
    else:
        print(f"no values of {plain(args.metric)} in that time")
    for one in answer.get("asked", ()):
        print(f"\n{one['rows']} rows in {one['seconds'] * 1000:.1f} ms:\n{plain(one['sql'], 9999)}")
    return 0


def _expression(args: Namespace) -> dict[str, Any]:
    compared = [_comparison(text) for text in args.where]
    if args.entity:
        compared.append({"label": "entity", "op": "=", "value": args.entity})
    for text in args.filter:
        name, _, value = text.partition("=")
        compared.append({"label": name, "op": "=", "value": value})
    select = _selected(args) | {"select": args.metric, "where": {"all": compared}}
    if args.window:
        select["window"] = _seconds("--window", args.window)
    if args.offset:
        select["offset"] = _seconds("--offset", args.offset)
    for how in _BY:
        labels = getattr(args, f"{how}_by")
        if labels is not None:
            return {"aggregate": how, "of": select, "by": _names(labels)}
    return select


def _selected(args: Namespace) -> dict[str, Any]:
    """What the options make of windows."""
    if args.histogram_quantile is None:
        if args.by is not None:
            raise BadMessage("--by goes with --histogram-quantile: take --sum-by, --avg-by, …")
        return {"over": args.over or "avg", "argument": args.share}
    if args.over:
        raise BadMessage("--over and --histogram-quantile do not go together: take one of them")
    return {"histogram_quantile": args.histogram_quantile, "by": _names(args.by or "")}


def _names(labels: str) -> list[str]:
    return [name for name in labels.split(",") if name]


def _comparison(text: str) -> dict[str, str]:
    try:
        name, op, value = comparison(text)
    except BadMessage as err:
        raise BadMessage(f"--where {err}") from err
    return {"label": name, "op": op, "value": value}


def _seconds(option: str, text: str) -> float:
    try:
        return seconds(text)
    except ValueError as err:
        raise BadMessage(f"{option}: {err}") from err


def _show(answer: dict[str, Any]) -> None:
    step = duration(answer["step_s"])
    count = len(answer["series"])
    print(f"{count} series every {step}, from {answer['resolution']} data")
    figures = ("LOW", "AVERAGE", "HIGH", "LAST")
    lines = [_line(series) for series in answer["series"]]
    print_table(("SERIES", *figures, "OVER TIME"), lines, right=figures)


def _line(series: dict[str, Any]) -> tuple[str, ...]:
    values = [value for value in series["values"] if value is not None]
    labels = " ".join(f"{key}={text}" for key, text in sorted(series["labels"].items()))
    figures = (min(values), sum(values) / len(values), max(values), values[-1])
    shown = [f"{figure:.6g}" for figure in figures]
    return (labels or "all", *shown, sparkline(series["values"]))
