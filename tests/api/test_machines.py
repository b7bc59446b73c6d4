"""Hosts, VMs and agents over REST."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from api.answers import get
from fleet_samples import GIB, SampleFleet
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_store.state import Vm


def names(http: FlaskClient, url: str) -> list[str]:
    return [vm["name"] for vm in get(http, url)["vms"]]


def test_vm_shows_where_it_runs_and_what_it_uses(http: FlaskClient, fleet: SampleFleet) -> None:
    web = next(vm for vm in get(http, "/v1/vms")["vms"] if vm["id"] == fleet.web)
    assert web["host"] == {"id": fleet.host_a, "name": "kvm-a"}
    assert (web["state"], web["freshness"], web["seen_age_s"]) == ("running", "fresh", 2.0)
    assert (web["cpu_utilization"], web["cpu_count"]) == (0.5, 2.0)
    assert (web["memory_usage"], web["memory_limit"]) == (GIB, 2 * GIB)
    assert (web["network_receive"], web["network_transmit"]) == (1000.0, 500.0)
    assert web["disk_read"] is None


def test_vm_of_a_silent_host_is_stale(http: FlaskClient, fleet: SampleFleet) -> None:
    idle = get(http, f"/v1/vms/{fleet.idle}")
    assert (idle["state"], idle["freshness"], idle["seen_age_s"]) == ("stopped", "stale", 100.0)
    assert names(http, "/v1/vms?freshness=stale") == ["idle-1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["db-1", "idle-1", "web-1"]),
        ("host=kvm-a", ["db-1", "web-1"]),
        ("host=nowhere", []),
        ("state=stopped", ["idle-1"]),
        ("q=WEB", ["web-1"]),
        ("sort=-name", ["web-1", "idle-1", "db-1"]),
        ("sort=-cpu_utilization", ["web-1", "db-1", "idle-1"]),
        ("sort=cpu_utilization", ["db-1", "web-1", "idle-1"]),
        ("limit=1&offset=1", ["idle-1"]),
        ("offset=9", []),
    ],
)
def test_vms_are_filtered_sorted_and_paged(
    http: FlaskClient, query: str, expected: list[str]
) -> None:
    assert names(http, f"/v1/vms?{query}") == expected


def test_total_counts_what_the_page_leaves_out(http: FlaskClient) -> None:
    page = get(http, "/v1/vms?limit=1&host=kvm-a")
    assert (len(page["vms"]), page["total"], page["limit"], page["offset"]) == (1, 2, 1, 0)


def test_vm_is_found_by_name_with_its_past(http: FlaskClient, fleet: SampleFleet) -> None:
    web = get(http, "/v1/vms/web-1")
    assert web["id"] == fleet.web
    assert web["resource"] == {"vm.name": "web-1"}
    current, former = web["history"]
    assert (current["name"], current["until"]) == ("web-1", None)
    assert (former["name"], former["host"]["name"]) == ("old-name", "kvm-b")
    newest = {(m["metric"], *m["attributes"].values()): m["value"] for m in web["metrics"]}
    assert newest["vm.cpu.utilization",] == 0.5
    assert newest["vm.network.io", "receive"] == 59 * 10_000


def test_hosts_count_their_vms_and_name_their_agent(http: FlaskClient, fleet: SampleFleet) -> None:
    a, b = get(http, "/v1/hosts?sort=name")["hosts"]
    assert (a["name"], a["vms"], a["agent"]) == ("kvm-a", 2, f"agent-{fleet.host_a}")
    assert (a["cpu_count"], a["freshness"], b["freshness"]) == (8.0, "fresh", "stale")
    assert get(http, "/v1/hosts/kvm-a")["resource"] == {"host.arch": "amd64"}


def test_agents_tell_whose_clock_is_wrong(http: FlaskClient) -> None:
    wrong = {
        row["host"]["name"]: row["clock_is_wrong"] for row in get(http, "/v1/agents")["agents"]
    }
    assert wrong == {"kvm-a": False, "kvm-b": True}


def test_unknown_machine_is_not_found(http: FlaskClient) -> None:
    assert get(http, "/v1/vms/nobody", 404) == {
        "error": "NotFound",
        "message": "no VM has the id or name 'nobody'",
    }
    assert get(http, "/v1/hosts/a/b%2Fc", 404)["error"] == "NotFound"


def test_same_name_twice_asks_for_the_id(
    filled: Services, fleet: SampleFleet, http: FlaskClient
) -> None:
    fleet.fill(filled.inventory, filled.agents)
    vm = filled.inventory.vm(fleet.db)
    filled.inventory.see_vms([Vm("other", "db-1", "h", vm.first_seen, vm.last_seen)])
    assert "2 VMs are called 'db-1'" in get(http, "/v1/vms/db-1", 400)["message"]


def test_empty_fleet_is_an_empty_list(services: Services) -> None:
    http = create_app(services).test_client()
    assert get(http, "/v1/vms") == {"vms": [], "total": 0, "limit": 500, "offset": 0}


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a/b", "\x1b[31m", "名前", "%2e%2e", "q?x#y"]
)
def test_hostile_names_come_back_as_they_are(
    filled: Services, http: FlaskClient, fleet: SampleFleet, name: str
) -> None:
    vm = filled.inventory.vm(fleet.db)
    filled.inventory.see_vms([Vm("hostile", name, "h", vm.first_seen, vm.last_seen)])
    assert get(http, f"/v1/vms/{quote(name, safe='')}")["name"] == name
