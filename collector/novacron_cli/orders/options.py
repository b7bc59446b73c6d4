"""What is said of an operation on the command line, and the body of the request that it makes.

The verbs and their arguments are those of novacron_contract.commands, and are written there alone.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, BooleanOptionalAction, Namespace
from collections.abc import Callable, Mapping
from typing import Any

from novacron_cli.orders import members
from novacron_contract.commands import VERBS, Argument, Verb, VerbSpec
from novacron_contract.errors import ConfigError
from novacron_contract.metrics import VmState
from novacron_contract.units import seconds

_OF_ARGUMENT = "argument_"
_IN_SECONDS = "_s"
_NO_OPTIONS = ("plan",)  # that is --dry-run
_LIMITS = {
    "max_parallel": "VMs under way at a time",
    "max_per_minute": "VMs begun in a minute",
    "stop_after_failures": "begin no more once so many VMs failed",
}


def add_order(parser: ArgumentParser, spec: VerbSpec) -> None:
    """Which VMs, how, and the arguments of the verb."""
    parser.set_defaults(verb=spec.verb)
    parser.add_argument("vms", nargs="*", metavar="VM", help="id or name")
    _add_selectors(parser)
    arguments = parser.add_argument_group(f"how to {spec.verb}") if spec.arguments else None
    for name, argument in spec.arguments.items():
        if name in _NO_OPTIONS:
            continue
        assert arguments is not None
        if isinstance(argument.default, Mapping):
            members.add_members(arguments, _OF_ARGUMENT + name, argument)
        else:
            _add_argument(arguments, name, argument)
    how = add_limits(parser, spec)
    how.add_argument("--expect-state", action="append", choices=list(VmState), metavar="STATE",
                     help="leave VMs alone that are in another state then; repeatable")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="confirm it, and be asked nothing")


def add_limits(parser: ArgumentParser, spec: VerbSpec) -> Any:
    how = parser.add_argument_group("limits")
    how.add_argument("--ttl", type=_time, metavar="TIME", help="to begin within (default: 1h)")
    how.add_argument("--timeout", type=_time, metavar="TIME",
                     help=f"from its beginning to its end (default: {spec.timeout_s:g}s)",
                     )  # fmt: skip
    for name, explained in _LIMITS.items():
        how.add_argument(f"--{name.replace('_', '-')}", type=_count, metavar="N", help=explained)
    parser.add_argument("--reason", metavar="TEXT", help="why, for the audit")
    return how


def body(args: Namespace) -> dict[str, Any]:
    """As the API takes it.

    Raises:
        ConfigError: no VM is named or selected, or both.
    """
    of_verb = {
        name: given
        for name in VERBS[Verb(args.verb)].arguments
        if (given := _given(args, name)) is not None
    }
    more = {"arguments": of_verb or None, "expect": args.expect_state}
    said = {name: value for name, value in more.items() if value is not None}
    return {"verb": str(args.verb), "targets": _targets(args), **said, **limits(args)}


def _given(args: Namespace, name: str) -> Any:
    if isinstance(VERBS[Verb(args.verb)].arguments[name].default, Mapping):
        return members.given(args, _OF_ARGUMENT + name)
    return getattr(args, _OF_ARGUMENT + name, None)


def limits(args: Namespace) -> dict[str, Any]:
    """Those that are given."""
    names = ("reason", "ttl", "timeout", *_LIMITS)
    return {name: of for name in names if (of := getattr(args, name)) is not None}


def selects(args: Namespace) -> bool:
    """Whether the VMs are found by what they are, and not by their names."""
    return not args.vms


def _add_selectors(parser: ArgumentParser) -> None:
    which = parser.add_argument_group(
        "instead of naming them", "VMs for which all of these hold; those long gone are left out"
    )
    which.add_argument("--host", metavar="ID|NAME", help="on this host")
    which.add_argument("--tag", action="append", metavar="NAME=VALUE",
                       help="whose resource has that label; repeatable: all of them")  # fmt: skip
    which.add_argument("--state", action="append", choices=list(VmState), metavar="STATE",
                       help=f"one of {', '.join(VmState)}; repeatable: any of them")  # fmt: skip
    which.add_argument("--name", metavar="GLOB", help="such as 'web-*'")
    which.add_argument("--all", action="store_true", help="every VM there is")


def _add_argument(parser: Any, name: str, argument: Argument) -> None:
    in_seconds = name.endswith(_IN_SECONDS)
    option = f"--{name.removesuffix(_IN_SECONDS) if in_seconds else name}".replace("_", "-")
    dest = _OF_ARGUMENT + name
    if isinstance(argument.default, bool):
        explained = f"{argument.summary} (default: {'yes' if argument.default else 'no'})"
        parser.add_argument(option, dest=dest, action=BooleanOptionalAction, help=explained)
        return
    kind: Callable[[str], str | float] = _time if in_seconds else int if argument.whole else float
    shown, metavar = str(argument.default), None if argument.choices else "TEXT"
    if isinstance(argument.default, str):
        kind = str
    else:
        shown = f"{argument.default:g}{'s' if in_seconds else ''}"
        metavar = "TIME" if in_seconds else "N"
    has_default = shown and not argument.is_required
    explained = f"{argument.summary} (default: {shown})" if has_default else argument.summary
    parser.add_argument(
        option,
        dest=dest,
        type=kind,
        choices=list(argument.choices) or None,
        metavar=metavar,
        required=argument.is_required,
        help=explained,
    )


def _targets(args: Namespace) -> dict[str, Any]:
    select: dict[str, Any] = {}
    if args.host is not None:
        select["host"] = args.host
    if args.name is not None:
        select["name"] = args.name
    if args.tag:
        select["tags"] = dict(map(_tag, args.tag))
    if args.state:
        select["state"] = args.state
    if args.vms:
        if select or args.all:
            raise ConfigError("name the VMs, or select them by --host, --tag …: not both")
        return {"vms": args.vms}
    if args.all:
        if select:
            raise ConfigError("--all is every VM: leave it out, or the other selectors")
        return {"select": {"name": "*"}}
    if not select:
        raise ConfigError("which VMs? Name them, or select them by --host, --tag, --state, "
                          "--name, or --all")  # fmt: skip
    return {"select": select}


def _tag(text: str) -> tuple[str, str]:
    name, is_one, value = text.partition("=")
    if not is_one or not name or not value:
        raise ConfigError(f"--tag: expected NAME=VALUE, got {text!r}")
    return name, value


def _time(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as err:
        raise ArgumentTypeError(str(err)) from err


def _count(text: str) -> int:
    try:
        count = int(text)
    except ValueError as err:
        raise ArgumentTypeError(f"expected a number, got {text!r}") from err
    if count < 1:
        raise ArgumentTypeError(f"expected 1 or more, got {count}")
    return count
