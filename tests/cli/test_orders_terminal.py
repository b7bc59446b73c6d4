"""novacron vm start, stop … on a terminal: the bar, what has to be typed, Ctrl-C."""

from __future__ import annotations

import re

import pytest

from cli.ordering import Ordering, Served
from cli.terminals import INTERRUPT, on_terminal
from fleet_samples import HOSTILE_NAME
from novacron_store.state import Vm

ATTACKS = (b"\x1b[2J", b"\x1b]0", b"\x07", "\u202e".encode(), b"\x1b[31mweb")


@pytest.mark.parametrize("columns", [80, 120])
def test_a_bar_shows_how_far_it_is_and_who_is_at_work(served: Served, columns: int) -> None:
    url = served(6, 6, duration_s=0.5).service.url
    shown = on_terminal(*(url, "vm", "start", "--all"), typed=[("[y/N] ", "y")], columns=columns)
    assert shown.code == 0
    assert "Start 12 VMs? [y/N] " in shown.text
    bars = [
        line for line in shown.lines if re.search(r"^start 12 VMs +[━╸╺]+ +\d+/12 +0:\d\d", line)
    ]
    assert bars
    assert any(re.search(r"\d+ running", line) for line in shown.lines)
    assert any(re.match(r"at work: vm-\d-\d, vm-\d-\d", line) for line in shown.lines)
    assert max(map(len, shown.lines)) <= columns
    assert re.fullmatch(r"✓ start 12 VMs: 12 succeeded in .* m?s", shown.lines[-1])


def test_reasons_are_folded_into_the_terminal(served: Served) -> None:
    reason = "internal error: cannot open the image of the disk " * 3
    ordering = served(1, obey=lambda order: reason.strip())
    shown = on_terminal(ordering.service.url, "vm", "start", "vm-0-0")
    assert shown.code == 1
    assert max(map(len, shown.lines)) <= 80
    table = shown.text.partition("✗")[2]
    assert " ".join(table.split()).count("internal error: cannot") == 3


@pytest.mark.parametrize(
    ("words", "prompt", "right"),
    [
        (("reset", "vm-0-0"), "Type vm-0-0 to reset 1 VM: ", "vm-0-0"),
        (("reset", "--host", "kvm-0"), "Type 2 to reset 2 VMs: ", "2"),
        (("stop", "vm-0-1", "--force", "now"), "Type vm-0-1 to stop 1 VM: ", "vm-0-1"),
    ],
)
def test_what_costs_something_has_to_be_typed(
    served: Served, words: tuple[str, ...], prompt: str, right: str
) -> None:
    ordering = served(2)
    url = ordering.service.url
    for wrong in ("y", "", "vm-0"):
        refused = on_terminal(url, "vm", *words, typed=[(prompt, wrong)])
        assert (refused.code, "not confirmed: nothing was done" in refused.text) == (1, True)
    assert ordering.operations() == []
    done = on_terminal(url, "vm", *words, typed=[(prompt, right)])
    assert (done.code, len(ordering.operations())) == (0, 1)
    assert "Guests may lose what they have not written." in done.text


def test_a_schedule_is_asked_about_as_what_it_will_do(served: Served) -> None:
    ordering = served(2)
    words = ("schedule", "create", "nightly", "start", "--all", "--cron", "0 3 * * *")
    prompt = "Start 2 VMs at its times? [y/N] "
    made = on_terminal(ordering.service.url, *words, typed=[(prompt, "y")])
    assert (made.code, ordering.operations()) == (0, [])
    schedule = ordering.json("schedule", "show", "nightly")
    assert schedule["operation"]["targets"] == {"select": {"name": "*"}}


def test_a_selection_is_shown_and_asked_about(served: Served) -> None:
    ordering = served(25)
    url = ordering.service.url
    refused = on_terminal(url, "vm", "start", "--all", typed=[("[y/N] ", "n")])
    assert (refused.code, ordering.operations()) == (1, [])
    assert "… and 5 more" in refused.text
    interrupted = on_terminal(url, "vm", "start", "--all", typed=[("[y/N] ", INTERRUPT)])
    assert (interrupted.code, "nothing was done" in interrupted.text) == (130, True)
    assert ordering.operations() == []
    assert on_terminal(url, "vm", "start", "--all", "--yes").code == 0


def test_interrupting_ends_the_waiting_and_not_the_operation(served: Served) -> None:
    ordering = served(1, duration_s=2.0)
    shown = on_terminal(
        ordering.service.url, "vm", "start", "vm-0-0", typed=[("at work: ", INTERRUPT)]
    )
    assert shown.code == 130
    operation = ordering.operations()[0]
    assert f"novacron operation watch {operation['id']}" in shown.text
    assert f"novacron operation cancel {operation['id']}" in shown.text
    assert "Traceback" not in shown.text
    assert b"\x1b[?25h" in shown.raw.rpartition(b"\x1b[?25l")[2], "the cursor is there again"
    watched = on_terminal(ordering.service.url, "operation", "watch", operation["id"])
    assert watched.code == 0
    assert watched.lines[-1].startswith("✓ start 1 VM: 1 succeeded")


def test_a_brake_is_told_as_the_reason_why_nothing_happens(served: Served) -> None:
    ordering = served(1)
    ordering.world.commands.set_brake(ordering.world.somebody(), True, "storage is in trouble")
    shown = on_terminal(
        *(ordering.service.url, "vm", "start", "vm-0-0"),
        typed=[("the brake is on, by ", INTERRUPT)],
    )
    assert shown.code == 130
    assert re.search(r"the brake is on, by u\w+: storage is in trouble", shown.text)
    watched = on_terminal(
        *(ordering.service.url, "operation", "watch"),
        typed=[("the brake is on, by ", INTERRUPT)],
    )
    assert (watched.code, "start 1 VM" in watched.text) == (130, True)


def hostile(ordering: Ordering) -> None:
    """The first VM has a name that attacks terminals."""
    world = ordering.world
    now = world.clock.now()
    world.inventory.see_vms([Vm(world.vms[0], HOSTILE_NAME, world.hosts[0], now, now, "kvm", {})])


def test_hostile_names_and_reasons_stay_plain(served: Served) -> None:
    ordering = served(1, duration_s=0.3, obey=lambda order: f"bad {HOSTILE_NAME}")
    hostile(ordering)
    url, vm = ordering.service.url, ordering.world.vms[0]
    reset = on_terminal(url, "vm", "reset", vm, typed=[(f"Type {vm} to reset 1 VM: ", vm)])
    assert reset.code == 1
    operation = ordering.operations()[0]["id"]
    command = ordering.api("/v1/commands")["commands"][0]["id"]
    every = [
        reset,
        on_terminal(url, "vm", "start", "--all", "--dry-run", columns=200),
        on_terminal(url, "operation", "show", operation),
        on_terminal(url, "command", "list", columns=200),
        on_terminal(url, "command", "show", command),
    ]
    for shown in every:
        assert b"[red]web" in shown.raw
        for attack in ATTACKS:
            assert attack not in shown.raw, attack
    piped = ordering.run("vm", "start", vm, "--wait")
    assert "[red]web" in piped.err
    assert "\x1b" not in piped.out + piped.err


def test_a_hostile_schedule_stays_plain(served: Served) -> None:
    ordering = served(1)
    words = ("schedule", "create", HOSTILE_NAME, "start", "vm-0-0", "--cron", "0 3 * * *")
    made = on_terminal(ordering.service.url, *words)
    listed = on_terminal(ordering.service.url, "schedule", "list", columns=200)
    shown = on_terminal(ordering.service.url, "schedule", "show", HOSTILE_NAME)
    for told in (made, listed, shown):
        assert b"[red]web" in told.raw
        for attack in ATTACKS:
            assert attack not in told.raw, attack


def test_what_ended_long_ago_is_told_at_once(served: Served) -> None:
    ordering = served(1)
    ordering.run("vm", "start", "vm-0-0", "--wait")
    shown = on_terminal(ordering.service.url, "operation", "watch", ordering.operations()[0]["id"])
    assert shown.code == 0
    assert ordering.service.asked[-1].startswith("GET /v1/operations/")
    assert "after=" not in ordering.service.asked[-1]
