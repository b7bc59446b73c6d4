"""novacron operation, command, schedule, brake, completion."""

from __future__ import annotations

import re
import subprocess
import threading
import time

import pytest

from cli.lossy import lossy
from cli.ordering import Served
from cli.runs import Novacron
from cli.terminals import PROGRAM
from fleet_samples import SampleFleet
from novacron_cli.main import main
from novacron_contract.access import Role

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


def test_operations_are_listed_shown_and_watched(served: Served) -> None:
    ordering = served(2)
    bad = ordering.world.vms[0]
    ordering.service.obey = lambda order: "no disk" if order.vm_id == bad else ""
    assert ordering.run("operation", "list").out.endswith("no operations\n")
    nothing = ordering.run("operation", "watch")
    assert (nothing.code, "no operation is running" in nothing.err) == (1, True)
    ordering.run("vm", "start", "vm-0-1", "--wait")
    ordering.run("vm", "start", "--all", "--wait", "--max-parallel", "1", "--reason", "patch day")

    listed = ordering.run("operation", "list").out
    assert re.search(
        rf"{UUID} +start 2 VMs +failed +2/2 +1 +operator-\w+ +20\S+ +patch day", listed
    )
    only = ordering.run("operation", "list", "--state", "succeeded").out
    assert ("start 1 VM" in only, "start 2 VMs" in only) == (True, False)
    newest = ordering.operations()[0]["id"]
    shown = ordering.run("operation", "show", newest)
    assert shown.code == 0
    assert re.search(r"start 2 VMs failed\n1 succeeded · 1 failed\n", shown.out)
    assert re.search(r"Why +patch day\n", shown.out)
    assert re.search(r"vm-0-0 +start +failed +no disk", shown.out)
    assert ordering.run("operation", "watch", newest).code == 1
    assert ordering.run("operation", "show", "nothing").code == 1


def test_an_operation_is_cancelled_and_what_was_begun_goes_on(served: Served) -> None:
    ordering = served(4, duration_s=1.0)
    started = ordering.json("vm", "start", "--all", "--max-parallel", "1")
    ended = ordering.run("operation", "cancel", started["id"], "--reason", "wrong host", "--wait")
    assert ended.code == 0
    assert re.search(r"\d cancelled", ended.out)
    assert ordering.api(f"/v1/operations/{started['id']}")["state"] == "cancelled"
    again = ordering.run("operation", "cancel", started["id"])
    assert (again.code, again.out) == (0, f"{started['id']}: cancelled\n")
    assert ordering.world.audit("operation.cancel")[0].reason == "wrong host"
    done = ordering.json("vm", "start", "vm-0-0", "--wait")
    late = ordering.run("operation", "cancel", done["id"])
    assert (late.code, "it had ended already: succeeded" in late.err) == (1, True)


def test_an_operation_that_is_cancelled_meanwhile_ends_with_1(served: Served) -> None:
    ordering = served(1, role=Role.ADMIN)
    ordering.run("brake", "on")

    def cancel() -> None:
        while not any("after=" in one for one in ordering.service.asked):
            time.sleep(0.02)
        by = ordering.world.somebody()
        ordering.world.commands.cancel(by, ordering.operations()[0]["id"])

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    ended = ordering.run("vm", "start", "vm-0-0", "--wait")
    cancelling.join()
    assert ended.code == 1
    assert re.search(r"cancelled by u\w+\n", ended.out)


def test_commands_are_listed_by_vm_host_state_verb_and_operation(served: Served) -> None:
    ordering = served(2, 1, obey=lambda order: "no" if order.verb == "suspend" else "")
    vms, hosts = ordering.world.vms, ordering.world.hosts
    ordering.run("vm", "start", "--all", "--wait")
    ordering.run("vm", "suspend", "vm-0-0", "--wait")

    def found(*words: str) -> list[tuple[str, str]]:
        rows = ordering.json("command", "list", *words)["commands"]
        return sorted((row["vm"]["name"], row["verb"]) for row in rows)

    assert found("--vm", vms[0]) == [("vm-0-0", "start"), ("vm-0-0", "suspend")]
    assert found("--host", hosts[1]) == [("vm-1-0", "start")]
    assert found("--state", "failed") == [("vm-0-0", "suspend")]
    assert found("--verb", "suspend") == [("vm-0-0", "suspend")]
    assert found("--operation", ordering.operations()[0]["id"]) == [("vm-0-0", "suspend")]
    listed = ordering.run("command", "list", "--verb", "suspend").out
    assert re.search(rf"vm-0-0 +suspend +failed +20\S+ +no +{UUID}", listed)
    assert ordering.run("command", "list", "--verb", "reset").out.endswith("no commands\n")
    command = ordering.json("command", "list", "--verb", "suspend")["commands"][0]["id"]
    shown = ordering.run("command", "show", command).out
    assert shown.startswith("suspend vm-0-0 failed\n")
    assert re.search(r"queued.*\n.*delivered.*\n.*accepted.*\n.*running.*\n.*failed", shown)


def test_commands_of_a_vm_and_a_host_are_found_by_their_names(
    novacron: Novacron, fleet: SampleFleet
) -> None:
    assert novacron("command", "list", "--vm", "db-1").out.endswith("no commands\n")
    assert novacron("command", "list", "--host", "kvm-a").code == 0
    nobody = novacron("command", "list", "--vm", "nobody")
    assert (nobody.code, "no VM has the id or name" in nobody.err) == (1, True)


def test_a_schedule_from_its_making_to_its_end(served: Served) -> None:
    ordering = served(2)
    create = ("schedule", "create", "nightly", "stop", "--tag", "team=db", "--grace", "5m")
    made = ordering.run(*create, "--cron", "0 20 * * mon-fri", "--zone", "Europe/Berlin")
    assert made.code == 0
    assert re.fullmatch(
        rf"nightly \({UUID}\) runs next:\n(  \w+ 20\S+ 20:00 CES?T\n){{5}}", made.out
    )
    listed = ordering.run("schedule", "list").out
    when = r"0 20 \* \* mon-fri \(Europe/Berlin\)"
    assert re.search(rf"nightly +stop +{when} +\w+ 20\S+ 20:00 CES?T +0 +operator-", listed)
    shown = ordering.run("schedule", "show", "nightly").out
    assert re.search(r"What +stop VMs with tags team=db\n", shown)
    assert ordering.json("schedule", "show", "nightly")["operation"]["arguments"] == {
        "grace_s": 300
    }

    assert ordering.run("schedule", "pause", "nightly").out == "nightly: paused\n"
    assert "next: paused\n" in ordering.run("schedule", "show", "nightly").out
    assert ordering.run("schedule", "resume", "nightly").out == "nightly: runs again\n"
    assert ordering.run("schedule", "delete", "nightly", "--reason", "over").code == 0
    assert ordering.run("schedule", "list").out.endswith("no schedules\n")
    assert ordering.world.audit("schedule.delete")[0].reason == "over"
    gone = ordering.run("schedule", "show", "nightly")
    assert (gone.code, "no schedule has the id or name 'nightly'" in gone.err) == (1, True)


def test_a_schedule_that_costs_something_is_confirmed_when_it_is_made(served: Served) -> None:
    ordering = served(1)
    create = ("schedule", "create", "x", "reset", "--name", "vm-*", "--at", "2099-01-01T00:00:00Z")
    assert ordering.run(*create).code == 2
    far = ordering.run(*create, "--yes")
    assert (far.code, "within ten years" in far.err) == (1, True)
    create = (*create[:6], "--cron", "0 3 * * *")
    assert ordering.run(*create, "--yes").code == 0
    assert ordering.json("schedule", "list")["schedules"][0]["operation"]["targets"] == {
        "select": {"name": "vm-*"}
    }


def test_schedules_of_one_name_are_told_apart_by_their_ids(served: Served) -> None:
    ordering = served(1)
    create = ("schedule", "create", "x", "start", "vm-0-0", "--cron", "0 3 * * *")
    first = ordering.json(*create)["id"]
    ordering.run(*create)
    both = ordering.run("schedule", "pause", "x")
    assert (both.code, "2 schedules are named 'x'" in both.err) == (1, True)
    assert ordering.run("schedule", "delete", first).out == "x: deleted\n"
    slip = ordering.run(*create[:5], "--at", "2027-01-01T00:00:00Z", "--zone", "Europe/Berlin")
    assert (slip.code, "--zone" in slip.err) == (2, True)


def test_the_brake_holds_everything_until_it_is_off(served: Served) -> None:
    ordering = served(1)
    assert ordering.run("brake", "on").code == 4
    ordering.as_role(Role.ADMIN)
    assert ordering.run("brake", "status").out == "the brake is off\n"
    on = ordering.run("brake", "on", "--reason", "a storm")
    assert re.fullmatch(r"the brake is on since 20\S+ by admin-\w+: a storm\n", on.out)
    releasing = threading.Timer(1.0, lambda: ordering.world.commands.set_brake(
        ordering.world.somebody(), False, ""))  # fmt: skip
    releasing.start()
    ended = ordering.run("vm", "start", "vm-0-0", "--wait")
    releasing.join()
    assert ended.code == 0
    assert re.search(r"the brake is on, by admin-\w+: a storm\n", ended.err)
    assert ordering.run("brake", "off").out.startswith("the brake is off since 20")


def test_a_change_whose_answer_is_lost_ends_with_5(served: Served) -> None:
    ordering = served(1, role=Role.ADMIN)
    with lossy(ordering.service.url) as between:
        ended = ordering.run("brake", "on", "--url", between.url)
    assert (ended.code, "nobody can tell" in ended.err, ended.err.count("\n")) == (5, True, 1)
    assert ordering.json("brake", "status")["held"] is True


def completed(*words: str) -> list[str]:
    """What bash would offer for the last word."""
    script = subprocess.check_output([PROGRAM, "completion", "bash"], text=True)
    line = " ".join(f"'{word}'" for word in words)
    ask = f"""
{script}
COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="${{COMP_WORDS[*]}}"
COMP_POINT=${{#COMP_LINE}}; compopt() {{ :; }}
"$(complete -p novacron | sed -E 's/.*-F ([^ ]+).*/\\1/')" novacron '{words[-1]}' '{words[-2]}'
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return subprocess.check_output(["bash", "-c", ask], text=True).split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("novacron", "oper"), {"operation"}),
        (
            ("novacron", "vm", "s"),
            {"save", "show", "snapshot", "snapshots", "start", "stop", "suspend"},
        ),
        (("novacron", "vm", "stop", "--gr"), {"--grace"}),
        (("novacron", "vm", "stop", "--force", ""), {"never", "after-grace", "now"}),
        (
            ("novacron", "schedule", "create", "x", "re"),
            {"reboot", "rename", "reset", "resize", "resume", "revert"},
        ),
        (("novacron", "command", "list", "--verb", "sus"), {"suspend"}),
    ],
)
def test_bash_completes_verbs_options_and_choices(
    words: tuple[str, ...], offered: set[str]
) -> None:
    assert set(completed(*words)) == offered


@pytest.mark.parametrize(("shell", "begins"), [("zsh", "#compdef novacron"), ("tcsh", "#")])
def test_other_shells_have_a_script_as_well(
    capsys: pytest.CaptureFixture[str], shell: str, begins: str
) -> None:
    assert main(("completion", shell)) == 0
    told = capsys.readouterr().out
    assert told.lstrip().startswith(begins)
    for word in ("suspend", "operation", "--max-parallel" if shell == "zsh" else "max-parallel"):
        assert word in told


def test_exit_codes_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(("--help",))
    told = capsys.readouterr().out
    for code in (0, 1, 2, 3, 4, 5, 130):
        assert re.search(rf"^  {code} +\w", told, re.MULTILINE)
