"""novacron vm start, stop, reboot … : what the contract has as verbs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from novacron_cli.collector import Collector, NotAllowed
from novacron_cli.command import Commands, add_command, collector_of, repeated
from novacron_cli.orders import options, outcome, plan
from novacron_cli.orders.following import Follower
from novacron_cli.orders.progress import progress
from novacron_cli.orders.submission import Submission, how_to_go_on, new_key
from novacron_cli.orders.words import title
from novacron_cli.output import plain, print_json
from novacron_contract.commands import VERBS, Verb, VerbSpec
from novacron_contract.errors import Unavailable
from novacron_contract.metrics import VmState

_MANY = """
  novacron vm {verb} --tag team=web --state {state}{given} --dry-run
  novacron vm {verb} --host kvm-a{given} --max-parallel 5 --reason 'new kernel'
  novacron vm {verb} web-1 web-2{given} --wait --json"""
_EXAMPLES = """\
examples:
  novacron vm {verb} web-1{given}{many}

On a terminal it waits for the end and shows the progress; what is selected is shown and asked
about first{typed}. Ctrl-C ends the waiting alone.
Exit code 0: all succeeded (not waiting: it was taken). 1: some VM did not. 5: of some VM, or of
all, nobody can tell; 2, 3, 4: see novacron --help."""
EXAMPLE_ARGUMENTS = {  # without which the verb means nothing
    Verb.ATTACH_DISK: " --size-gib 10",
    Verb.DETACH_DISK: " --disk vdb",
    Verb.GROW_DISK: " --disk vda --size-gib 40",
    Verb.ATTACH_NIC: " --network default",
    Verb.DETACH_NIC: " --mac 52:54:00:12:34:56",
    Verb.RESIZE: " --vcpus 4",
    Verb.RENAME: " --new-name web-7",
    Verb.REVERT: " --snapshot before-2.0",
    Verb.DELETE_SNAPSHOT: " --snapshot before-2.0",
}
_ELSEWHERE = (Verb.CREATE, Verb.DELETE, Verb.SNAPSHOTS)  # modules of their own
_TYPED = ", and has to be typed: guests may lose what they have not written"


def add_to(family: Commands) -> None:
    for spec in VERBS.values():
        if spec.verb in _ELSEWHERE:
            continue
        parser = add_command(family, spec.verb.value, _run, spec.summary, _examples(spec))
        options.add_order(parser, spec)
        add_following(parser)


def add_following(parser: ArgumentParser) -> None:
    """What goes with everything that is ordered."""
    add_waiting(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what it would do")
    parser.add_argument("--key", help="of the same command given before, so that it is done once")


def add_waiting(parser: ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--wait", action="store_true", default=None,
                        help="until it has ended (default on a terminal)")  # fmt: skip
    either.add_argument("--no-wait", dest="wait", action="store_false",
                        help="return as soon as it was taken")  # fmt: skip


def wait(args: Namespace, collector: Collector, operation: Mapping[str, Any]) -> int:
    """Until it has ended; what became of it goes to standard output."""
    try:
        with progress(quiet=args.json) as view:
            operation = Follower(collector, view).to_the_end(operation)
    except (KeyboardInterrupt, Unavailable, NotAllowed):
        goes_on(args, operation, "it goes on without you")
        raise
    if args.json:
        return outcome.print_whole(collector, operation)
    return outcome.show(collector, operation)


def goes_on(args: Namespace, operation: Mapping[str, Any], first: str) -> None:
    """Say by which commands to see to it."""
    told, more = plain(operation["id"]), repeated(args)
    print(
        f"{first}; to look at it, or to cancel it:\n"
        f"  novacron operation watch {told}{more}\n"
        f"  novacron operation cancel {told}{more}",
        file=sys.stderr,
    )


def _examples(spec: VerbSpec) -> str:
    state = next(state for state in VmState if state in spec.sensible_in)
    of = {"verb": spec.verb.value, "given": EXAMPLE_ARGUMENTS.get(spec.verb, "")}
    many = "" if spec.alone else _MANY.format(**of, state=state)
    return _EXAMPLES.format(**of, many=many, typed=_TYPED if spec.destructive else "")


def _run(args: Namespace) -> int:
    collector, body = collector_of(args), options.body(args)
    if args.dry_run:
        planned = plan.planned(collector, body)
        if args.json:
            print_json(planned)
            return plan.exit_code(planned)
        return plan.show(planned)
    body |= plan.confirmation(collector, body, selected=options.selects(args), yes=args.yes)
    return follow(args, collector, submit(args, collector, body))


def waits(args: Namespace) -> bool:
    asked: bool | None = args.wait
    return sys.stderr.isatty() if asked is None else asked


def follow(args: Namespace, collector: Collector, operation: Mapping[str, Any]) -> int:
    """To its end where that is waited for; the exit code."""
    if waits(args):
        return wait(args, collector, operation)
    if args.json:
        print_json(operation)
        return 0
    print(f"{title(operation)}: operation {plain(operation['id'])}")
    goes_on(args, operation, "it goes on")
    return 0


def submit(
    args: Namespace, collector: Collector, body: Mapping[str, Any], path: str = plan.OPERATIONS
) -> dict[str, Any]:
    key = args.key or new_key()

    def say(line: str) -> None:
        print(plain(line), file=sys.stderr, flush=True)

    try:
        return Submission(collector, key, say, path).send(body)
    except KeyboardInterrupt:
        say(f"it may have been taken: {how_to_go_on(key)}")
        raise
