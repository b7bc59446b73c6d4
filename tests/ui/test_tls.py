"""The web UI beyond this machine: TLS, and everybody logs in."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.asyncio.client import connect

from certificates import Certificates, certificates
from fleet_samples import SampleFleet
from novacron_contract.errors import ConfigError
from novacron_ui.certificate import Certificate
from ui_collector import PASSWORD, UiCollector
from ui_world import Settings, World, novacron_ui


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def everywhere(
    world: World,
    orders: UiCollector,
    fleet: SampleFleet,
    pair: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """Its URL; the collector lets anybody on this machine read."""
    tables = f'[tls]\ncert_file = "{pair.cert}"\nkey_file = "{pair.key}"'
    names = 'allowed_hosts = ["nova.example", "127.0.0.1"]'
    settings = Settings(address="0.0.0.0", scheme="https", ui=names, tables=tables)
    with novacron_ui(world, orders.url, tmp_path_factory.mktemp("tls"), settings) as url:
        yield url


@pytest.fixture
def trust(pair: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=pair.ca)


def test_everybody_logs_in_even_on_this_machine(everywhere: str, trust: ssl.SSLContext) -> None:
    with httpx.Client(base_url=everywhere, verify=trust) as http:
        assert http.get("/").status_code == 401
        assert http.get("/_dash-layout").status_code == 401
        assert http.get("/api/operations").status_code == 401
        http.post("/api/login", json={"name": "ann", "password": PASSWORD})
        assert http.get("/").status_code == 200


def test_the_cookie_is_of_this_host_and_of_tls_alone(
    everywhere: str, trust: ssl.SSLContext
) -> None:
    body = {"name": "ann", "password": PASSWORD}
    answer = httpx.post(f"{everywhere}/api/login", json=body, verify=trust)
    cookie = answer.headers["Set-Cookie"].split("; ")
    assert cookie[0].startswith("__Host-novacron-session=nvs_")
    assert {"HttpOnly", "Path=/", "SameSite=strict", "Secure"} == set(cookie[1:])

    headers = {"Cookie": cookie[0].removeprefix("__Host-")}  # planted by another page
    assert httpx.get(f"{everywhere}/", verify=trust, headers=headers).status_code == 401


def test_browsers_come_back_by_tls_alone(everywhere: str, trust: ssl.SSLContext) -> None:
    headers = {"Host": "nova.example:8050"}
    answer = httpx.get(f"{everywhere}/login", verify=trust, headers=headers)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    here = httpx.get(f"{everywhere}/login", verify=trust)
    assert "Strict-Transport-Security" not in here.headers, "other programs are there, too"


def test_numbers_come_over_tls_too(everywhere: str, trust: ssl.SSLContext) -> None:
    body = {"name": "ann", "password": PASSWORD}
    answer = httpx.post(f"{everywhere}/api/login", json=body, verify=trust)
    cookie = answer.headers["Set-Cookie"].split("; ")[0]

    async def first_frame() -> str:
        url = f"wss://{urlsplit(everywhere).netloc}/ws"
        headers = {"Cookie": cookie}
        async with connect(url, ssl=trust, additional_headers=headers, proxy=None) as socket:
            return str(await socket.recv())

    assert "status" in asyncio.run(first_frame())


def test_a_certificate_is_read_again_and_a_broken_one_is_not_taken(
    pair: Certificates, tmp_path: Path
) -> None:
    files = tmp_path / "ui.pem", tmp_path / "ui.key"
    for file, of in zip(files, (pair.cert, pair.key), strict=True):
        file.write_bytes(of.read_bytes())
    certificate = Certificate(*files)
    assert not certificate.read_again()

    files[0].write_text("broken")
    assert not certificate.read_again()
    files[0].write_bytes(pair.cert.read_bytes())
    os.utime(files[0], (1, 1))
    assert certificate.read_again()


def test_a_key_that_does_not_fit_is_a_mistake(pair: Certificates) -> None:
    with pytest.raises(ConfigError, match="cannot be used: KEY_VALUES_MISMATCH"):
        Certificate(pair.cert, pair.folder / "ca.key")
