"""How NovaCron is doing, over REST."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.answers import get, json_of
from free_ports import free_port
from novacron_collector.api.app import create_app
from novacron_collector.api.notices import Severity, notices
from novacron_collector.api.services import Services
from novacron_store.telemetry.client import connect
from novacron_store.telemetry.usage import Usage

GIB = 1024**3


def test_status_counts_what_there_is(http: FlaskClient) -> None:
    status = get(http, "/v1/status")
    assert (status["version"], status["uptime_s"]) == ("0.1.0", 3600.0)
    assert status["hosts"] == {"total": 2, "fresh": 1, "stale": 1, "gone": 0}
    assert status["vms"] == {"total": 3, "fresh": 2, "stale": 1, "gone": 0}
    assert status["agents"]["total"] == 2
    assert status["telemetry"]["samples"] >= 1000
    assert status["telemetry"]["series"] >= 17
    assert status["telemetry"]["disk_total"] > status["telemetry"]["disk_free"] > 0
    assert status["counters"] == {"ingest.points": 12.0}


def test_status_says_what_to_do(http: FlaskClient) -> None:
    messages = [notice["message"] for notice in get(http, "/v1/status")["notices"]]
    assert messages == [
        "The clock of kvm-b is 3 min 20 s behind: its points are stored at the wrong time; "
        "check its time synchronisation (timedatectl)",
        "The agent of kvm-b cannot read its VMs: check that libvirtd runs there; "
        "the agent's log says why",
        "No news from kvm-b (for 1 min 40 s): check the agent there and the network to it",
    ]


def test_nobody_reporting_is_said(services: Services) -> None:
    status = get(create_app(services).test_client(), "/v1/status")
    assert [notice["severity"] for notice in status["notices"]] == ["info"]
    assert "Nobody reports yet" in status["notices"][0]["message"]


def test_status_answers_while_the_store_is_away(http_with: Callable[..., FlaskClient]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    status = get(http_with(telemetry=lambda: connect(url)), "/v1/status")
    assert status["telemetry"] is None
    assert status["notices"][0]["severity"] == "critical"
    assert "does not answer" in status["notices"][0]["message"]


def test_store_that_takes_nothing_is_said(http_with: Callable[..., FlaskClient]) -> None:
    status = get(http_with(not_ready=lambda: "the disk is full"), "/v1/status")
    assert status["notices"][0] == {
        "severity": "critical",
        "message": "Nothing can be stored: the disk is full",
    }


@pytest.mark.parametrize(
    ("free", "severity"), [(50, None), (9, Severity.WARNING), (1, Severity.CRITICAL)]
)
def test_disk_is_watched(free: int, severity: Severity | None) -> None:
    stored = Usage(1, 1, 1, free * GIB, 100 * GIB)
    told = [notice for notice in notices([], [], stored, "") if "disk" in notice.message]
    assert [notice.severity for notice in told] == ([severity] if severity else [])


def test_readiness_gives_the_reason(http_with: Callable[..., FlaskClient]) -> None:
    http = http_with(not_ready=lambda: "the store does not answer yet")
    assert get(http, "/healthz") == {"status": "ok"}
    assert get(http, "/readyz", 503)["message"] == "the store does not answer yet"
    assert get(http_with(), "/readyz") == {"status": "ready"}


def test_other_host_names_are_refused(http: FlaskClient) -> None:
    answer = http.get("/v1/status", headers={"Host": "evil.example"})
    assert json_of(answer, 400)["error"] == "BadRequest"
    for host in ("127.0.0.1:8440", "[::1]:8440", "localhost"):
        assert http.get("/v1/status", headers={"Host": host}).status_code == 200


def test_unknown_path_and_method_are_json_too(http: FlaskClient) -> None:
    assert get(http, "/v1/nothing", 404)["error"] == "NotFound"
    answer = http.delete("/v1/vms")
    assert json_of(answer, 405)["error"] == "MethodNotAllowed"
    assert "GET" in answer.headers["Allow"]


def test_state_database_that_is_away_is_unavailable(filled: Services, http: FlaskClient) -> None:
    with filled.inventory.engine.begin() as connection:
        connection.execute(text("DROP TABLE agents"))
    assert get(http, "/v1/agents", 503)["error"] == "Unavailable"


def test_defect_says_nothing_of_the_inside(
    http_with: Callable[..., FlaskClient], caplog: pytest.LogCaptureFixture
) -> None:
    answer = http_with(not_ready=lambda: 1 / 0).get("/readyz")
    assert json_of(answer, 500)["error"] == "InternalError"
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text
