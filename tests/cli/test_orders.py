"""novacron vm start, stop … where no terminal is: what is asked for, done, and told."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from typing import Any

import httpx
import pytest

from cli.lossy import lossy
from cli.ordering import Ordering, Served
from cli.terminals import PROGRAM
from commanded_agent import Killed
from free_ports import free_port
from novacron_cli.main import main
from novacron_cli.orders import following, submission
from novacron_contract.access import Role
from novacron_contract.commands import VERBS, Order, Verb
from novacron_contract.metrics import VmState

UUID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


def names(plan: Any) -> list[str]:
    return [vm["name"] for vm in plan["vms"]]


def test_where_nobody_looks_on_it_is_taken_and_not_waited_for(served: Served) -> None:
    ended = served(1).run("vm", "start", "vm-0-0", "--reason", "deployment 7")
    assert ended.code == 0
    told = re.fullmatch(rf"start 1 VM: operation ({UUID})\n", ended.out)
    assert told
    assert f"novacron operation watch {told[1]}\n" in ended.err
    assert f"novacron operation cancel {told[1]}\n" in ended.err


def test_waiting_tells_each_change_and_ends_with_what_became_of_it(served: Served) -> None:
    ordering = served(2, duration_s=0.3)
    ended = ordering.run("vm", "start", "vm-0-0", "vm-0-1", "--wait", "--reason", "deployment 7")
    assert re.fullmatch(r"✓ start 2 VMs: 2 succeeded in [\d.]+ m?s\n", ended.out)
    lines = ended.err.splitlines()
    assert {"start vm-0-0: running", "start vm-0-1: succeeded"} <= set(lines)
    assert len(lines) == len(set(lines))
    assert ended.code == 0
    assert ordering.operations()[0]["reason"] == "deployment 7"


def test_what_did_not_succeed_is_in_a_table_with_its_reason(served: Served) -> None:
    ordering = served(3)
    good = ordering.world.vms[0]
    ordering.service.obey = lambda order: "" if order.vm_id == good else "no disk"
    ended = ordering.run("vm", "start", "--all", "--wait")
    assert ended.code == 1
    assert "✗ start 3 VMs: 1 succeeded · 2 failed in" in ended.out
    assert re.search(rf"vm-0-1 +start +failed +no disk +{UUID}", ended.out)
    assert "vm-0-0" not in ended.out
    assert f"novacron operation show {ordering.operations()[0]['id']}" in ended.out


def test_an_outcome_that_nobody_knows_has_an_exit_code_of_its_own(served: Served) -> None:
    def dies(order: Order) -> str:
        raise Killed

    ordering = served(1, obey=dies)
    ended = ordering.run("vm", "reboot", "vm-0-0", "--wait")
    assert ended.code == 5
    assert re.search(r"vm-0-0 +reboot +outcome unknown +killed in the middle", ended.out)
    operation = ordering.operations()[0]["id"]
    assert ordering.run("operation", "watch", operation).code == 5
    assert ordering.run("vm", "start", "vm-0-0", "--wait", "--dry-run").code == 0


def test_of_many_vms_the_counts_are_told(served: Served) -> None:
    ended = served(15, 15, duration_s=0.2).run("vm", "start", "--all", "--wait")
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert re.fullmatch(r"\d+ of 30 ended: .*queued", lines[0])
    assert lines[-1] == "30 of 30 ended: 30 succeeded"
    assert "vm-0-0" not in ended.err


def test_the_collector_is_asked_when_something_changed_and_not_all_the_time(
    served: Served,
) -> None:
    ordering = served(1, duration_s=2.0)
    assert ordering.run("vm", "start", "vm-0-0", "--wait").code == 0
    held = [one for one in ordering.service.asked if "after=" in one]
    assert 1 <= len(held) <= 6
    assert all("wait=25" in one for one in held)


def test_json_is_what_the_api_gives(served: Served) -> None:
    ordering = served(1)
    waited = ordering.json("vm", "start", "vm-0-0", "--wait")
    path = f"/v1/operations/{waited['id']}"
    assert waited == ordering.api(path) | {"not_succeeded": []}
    assert ordering.json("operation", "show", waited["id"]) == waited
    assert ordering.json("operation", "watch", waited["id"]) == waited
    assert ordering.json("operation", "list") == ordering.api("/v1/operations?limit=50")
    assert ordering.json("command", "list") == ordering.api("/v1/commands?limit=100")
    command = ordering.api("/v1/commands")["commands"][0]["id"]
    assert ordering.json("command", "show", command) == ordering.api(f"/v1/commands/{command}")
    assert ordering.json("brake", "status") == ordering.api("/v1/brake")
    started = ordering.json("vm", "start", "vm-0-0", "--no-wait")
    assert started["id"] == ordering.operations()[0]["id"]
    plan = ordering.json("vm", "reset", "vm-0-0", "--dry-run")
    asked = {"verb": "reset", "targets": {"vms": ["vm-0-0"]}, "dry_run": True}
    url = f"{ordering.service.url}/v1/operations"
    assert plan == httpx.post(url, json=asked, headers=ordering.headers).json()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--host", "kvm-0"), ["vm-0-0", "vm-0-1"]),
        (("--tag", "team=web"), ["vm-1-0"]),
        (("--name", "vm-?-0"), ["vm-0-0", "vm-1-0"]),
        (("--state", "paused"), ["vm-0-1"]),
        (("--state", "paused", "--state", "running"), ["vm-0-0", "vm-0-1"]),
        (("--host", "kvm-0", "--state", "running"), ["vm-0-0"]),
        (("--all",), ["vm-0-0", "vm-0-1", "vm-1-0"]),
        (("vm-1-0", "vm-0-0"), ["vm-1-0", "vm-0-0"]),
    ],
)
def test_vms_are_named_or_selected(
    served: Served, words: tuple[str, ...], expected: list[str]
) -> None:
    ordering = served(2, 1)
    first, second, _ = ordering.world.vms
    ordering.world.states.update({first: VmState.RUNNING, second: VmState.PAUSED})
    assert sorted(names(ordering.json("vm", "stop", *words, "--dry-run"))) == sorted(expected)
    assert ordering.operations() == []


def test_a_plan_says_what_is_to_be_known_before(served: Served) -> None:
    ordering = served(2)
    ordering.world.states.update(
        {ordering.world.vms[0]: VmState.RUNNING, ordering.world.vms[1]: VmState.STOPPED}
    )
    ended = ordering.run("vm", "reset", "--all", "--dry-run")
    assert ended.code == 0
    assert re.search(r"vm-0-0 +kvm-0 +running +[0-9a-f]", ended.out)
    assert re.search(
        r"vm-0-1 +kvm-0 +stopped +reset is for VMs that are paused or running", ended.out
    )
    assert ended.out.endswith("it has to be confirmed, see --yes\n")
    assert ordering.run("vm", "start", "--tag", "team=none", "--dry-run").code == 1


def test_how_it_is_to_be_done_reaches_the_collector(served: Served) -> None:
    ordering = served(1)
    words = (
        *("vm", "stop", "vm-0-0", "--grace", "2m", "--force", "never", "--ttl", "1h"),
        *("--timeout", "90s", "--max-parallel", "5", "--max-per-minute", "60"),
        *("--stop-after-failures", "3", "--expect-state", "running"),
    )
    asked = ordering.json(*words)
    assert asked["steps"][0]["arguments"] == {"grace_s": 120.0, "force": "never"}
    limits = (asked["max_parallel"], asked["max_per_minute"], asked["stop_after_failures"])
    assert (limits, asked["expect"]) == ((5, 60, 3), ["running"])
    command = ordering.api("/v1/commands")["commands"][0]
    assert command["timeout_s"] == 90


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (
            ("attach-disk", "--size-gib", "10", "--bus", "scsi", "--cache", "none"),
            {"disk": {"size_gib": 10.0, "bus": "scsi", "cache": "none"}},
        ),
        (
            ("attach-disk", "--linked", "images/debian-12.qcow2"),
            {"disk": {"linked": {"pool": "images", "volume": "debian-12.qcow2"}}},
        ),
        (("attach-disk", "--volume", "data.raw"), {"disk": {"volume": {"volume": "data.raw"}}}),
        (
            ("attach-nic", "--bridge", "br0", "--model", "e1000", "--inbound", "100/200"),
            {
                "nic": {
                    "bridge": "br0",
                    "model": "e1000",
                    "inbound": {"average_kib": 100, "peak_kib": 200},
                }
            },
        ),
        (
            ("grow-disk", "--disk", "vda", "--size-gib", "40"),
            {"disk": "vda", "size_gib": 40.0},
        ),
        (
            ("detach-disk", "--disk", "images/a.raw", "--delete-volume", "--yes"),
            {"disk": "images/a.raw", "delete_volume": True, "force": False},
        ),
        (("detach-nic", "--mac", "52:54:00:AA:00:01"), {"mac": "52:54:00:aa:00:01"}),
    ],
)
def test_devices_are_said_by_options_of_their_own(
    served: Served, words: tuple[str, ...], arguments: dict[str, object]
) -> None:
    verb, *rest = words
    asked = as_vm_admin(served).json("vm", verb, "vm-0-0", *rest)
    assert asked["steps"][0]["arguments"] == arguments


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attach-disk",), "disk: expected size_gib (a new disk), or one of clone, linked, vol"),
        (("grow-disk", "--disk", "/dev/sda", "--size-gib", "1"), "such as vda, or as POOL/VOL"),
        (("grow-disk", "--disk", "vda", "--size-gib", "0"), "expected a number from 0.0009"),
        (("attach-nic", "--bridge", "br0", "--network", "a"), "expected either network or bridge"),
        (("detach-nic", "--mac", "01:00:00:00:00:00"), "the MAC address of one card"),
        (("detach-disk", "--disk", "vdb", "--delete-volume"), "--yes"),
        (("detach-disk", "--disk", "vda", "--force"), "--yes"),
    ],
)
def test_what_is_wrong_with_a_device_is_said(
    served: Served, words: tuple[str, ...], said: str
) -> None:
    verb, *rest = words
    ended = as_vm_admin(served).run("vm", verb, "vm-0-0", *rest)
    assert ended.code == (2 if said == "--yes" else 1), ended.err
    assert said in ended.err


def as_vm_admin(served: Served) -> Ordering:
    ordering = served(1)
    ordering.as_role(Role.VM_ADMIN)
    return ordering


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attach-disk", "--clone", "a/b/c"), "--clone: expected POOL/VOLUME, got 'a/b/c'"),
        (("attach-nic", "--inbound", "x"), "AVERAGE/PEAK/BURST: invalid literal"),
        (("detach-disk",), "the following arguments are required: --disk"),
        (("detach-nic",), "the following arguments are required: --mac"),
    ],
)
def test_what_is_no_device_at_all_is_said(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, *rest = words
    with pytest.raises(SystemExit):
        main(("vm", verb, "vm-0-0", *rest))
    assert said in capsys.readouterr().err


def test_a_vm_is_resized_and_renamed(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    ordering = served(1)
    ordering.as_role(Role.VM_ADMIN)
    resized = ordering.json("vm", "resize", "vm-0-0", "--vcpus", "4", "--live")
    assert resized["steps"][0]["arguments"] == {"vcpus": 4, "memory_mib": 0, "live": True}
    renamed = ordering.json("vm", "rename", "vm-0-0", "--new-name", "web-7")
    assert renamed["steps"][0]["arguments"] == {"new_name": "web-7"}
    with pytest.raises(SystemExit):
        main(("vm", "rename", "vm-0-0"))
    assert "required: --new-name" in capsys.readouterr().err
    nothing = ordering.run("vm", "resize", "vm-0-0")
    assert (nothing.code != 0, "give vcpus or memory_mib" in nothing.err) == (True, True)


@pytest.mark.parametrize("verb", sorted(set(Verb) - {Verb.CREATE}))  # which has no VM to name
def test_every_verb_of_the_contract_is_a_command_with_its_arguments(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(("vm", str(verb), "--help"))
    told = capsys.readouterr().out
    for name, argument in VERBS[verb].arguments.items():
        if name == "plan":  # that is --dry-run
            continue
        if argument.schema is not None:
            assert all(
                f"--{one.replace('_', '-')}" in told for one in argument.schema()["properties"]
            )
            continue
        assert f"--{name.removesuffix('_s')}".replace("_", "-") in told
        assert argument.summary in " ".join(told.split())
    assert VERBS[verb].summary[1:] in " ".join(told.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "which VMs? Name them, or select them"),
        (("vm-0-0", "--all"), "name the VMs, or select them by"),
        (("--all", "--host", "kvm-0"), "--all is every VM"),
        (("--tag", "team"), "--tag: expected NAME=VALUE, got 'team'"),
        (("--tag", "=x"), "--tag: expected NAME=VALUE"),
        (("vm-0-0", "--force", "now"), "to stop 1 VM may cost guests what they have not written"),
    ],
)
def test_a_slip_ends_with_2_and_does_nothing(
    served: Served, words: tuple[str, ...], said: str
) -> None:
    ordering = served(1)
    ended = ordering.run("vm", "stop", *words)
    assert (ended.code, said in ended.err, ended.err.count("\n")) == (2, True, 1)
    assert ordering.operations() == []


@pytest.mark.parametrize(
    "words",
    [("--ttl", "soon"), ("--max-parallel", "0"), ("--state", "odd"), ("--force", "maybe"),
     ("--max-per-minute", "x"), ("--wait", "--no-wait")],
)  # fmt: skip
def test_words_that_are_none_end_with_2(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(("vm", "stop", "vm-0-0", *words))
    assert ended.value.code == 2


def test_what_costs_something_is_done_with_yes_where_nobody_can_be_asked(served: Served) -> None:
    ordering = served(2)
    refused = ordering.run("vm", "reset", "--all")
    assert (refused.code, "confirm it with --yes" in refused.err) == (2, True)
    assert ordering.run("vm", "reset", "vm-0-0", "--yes", "--wait").code == 0
    assert ordering.run("vm", "reset", "--all", "--yes", "--wait").code == 0
    assert [one["total"] for one in ordering.operations()] == [2, 1]
    assert ordering.run("vm", "reset", "--tag", "team=none", "--yes").code == 1


def test_who_may_not_ends_with_4_and_a_collector_that_is_away_with_3(served: Served) -> None:
    ordering = served(1)
    ordering.as_role(Role.VIEWER)
    refused = ordering.run("vm", "start", "vm-0-0")
    assert (refused.code, "vm.power" in refused.err) == (4, True)
    ordering.monkeypatch.setenv("NOVACRON_TOKEN", "nct_" + "x" * 43)
    assert ordering.run("vm", "start", "vm-0-0").code == 4
    away = ordering.run("vm", "start", "vm-0-0", "--url", f"http://127.0.0.1:{free_port()}")
    assert (away.code, "does not answer" in away.err) == (3, True)
    unknown = ordering.run("vm", "start", "nobody", "--url", ordering.service.url)
    assert unknown.code == 4
    ordering.as_role(Role.OPERATOR)
    assert ordering.run("vm", "start", "nobody").code == 1


def test_an_answer_that_is_lost_does_nothing_twice(served: Served) -> None:
    ordering = served(1)
    with lossy(ordering.service.url, losing=2) as between:
        ended = ordering.run("vm", "start", "vm-0-0", "--wait", "--url", between.url)
    assert (ended.code, between.lost) == (0, 2)
    assert ended.err.count("the answer was lost: asking again") == 1
    assert len(ordering.operations()) == 1
    assert ordering.api("/v1/commands")["total"] == 1


def test_an_answer_that_stays_lost_ends_with_5_and_the_key_to_try_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordering = served(1)
    monkeypatch.setattr(submission, "PATIENCE_S", 0.0)
    with lossy(ordering.service.url, losing=100) as between:
        ended = ordering.run("vm", "start", "vm-0-0", "--url", between.url)
    assert ended.code == 5
    key = re.search(r"again with --key (cli-\S+): then it is done once", ended.err)
    assert key
    again = ordering.run("vm", "start", "vm-0-0", "--key", key[1])
    assert (again.code, len(ordering.operations())) == (0, 1)
    other = ordering.run("vm", "stop", "vm-0-0", "--key", key[1])
    assert (other.code, "was used for something else" in other.err) == (1, True)


def test_a_collector_that_restarts_meanwhile_is_asked_again(served: Served) -> None:
    ordering = served(2, role=Role.ADMIN)
    ordering.run("brake", "on")
    command = [PROGRAM, "vm", "start", "--all", "--wait"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as asking:  # fmt: skip
        assert asking.stderr is not None
        told = iter(asking.stderr)
        assert any("the brake is on" in line for line in told)
        ordering.service.stop()
        assert any("the operation goes on, and is asked for again" in line for line in told)
        ordering.service.start()
        began = time.monotonic()
        assert any("the collector answers again" in line for line in told)
        assert time.monotonic() - began < 15, "not when something has changed, or 25 s are over"
        ordering.run("brake", "off")
        assert any("start vm-0-1: succeeded" in line for line in told)
        out, _ = asking.communicate()
    assert asking.returncode == 0
    assert out.startswith("✓ start 2 VMs: 2 succeeded")


def test_a_collector_that_stays_away_is_not_waited_for_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordering = served(1, role=Role.ADMIN)
    monkeypatch.setattr(following, "PATIENCE_S", 0.0)
    stopping = threading.Timer(1.0, ordering.service.stop)
    assert ordering.run("brake", "on").code == 0
    stopping.start()
    ended = ordering.run("vm", "start", "vm-0-0", "--wait")
    stopping.join()
    assert ended.code == 3
    assert "it goes on without you" in ended.err
