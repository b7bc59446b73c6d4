"""The data folder and the ports of `novacron up`: written once, edited by people, used by one."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path

import pytest

from novacron_cli.up.addresses import Addresses, on_loopback, require_free
from novacron_cli.up.data_folder import DataFolder
from novacron_contract.errors import ConfigError


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    return folder


def written(data: DataFolder, name: str) -> dict[str, dict[str, object]]:
    return tomllib.loads(data.config(name).read_text())


def test_secrets_are_for_the_owner_alone_and_stay_the_same(data: DataFolder) -> None:
    secret = data.path / "secrets" / "service-password"
    first = secret.read_text()

    data.prepare()

    assert secret.stat().st_mode & 0o777 == 0o600
    assert secret.parent.stat().st_mode & 0o777 == 0o700
    assert secret.read_text() == first
    assert len(first.strip()) >= 40
    assert first != (data.path / "secrets" / "reader-password").read_text()


def test_every_part_is_told_where_the_others_listen(data: DataFolder) -> None:
    data.write_configuration(on_loopback(offset=1000))
    data.write_agent("agent", host=True, libvirt="qemu:///system")

    assert written(data, "store")["store"]["listen"] == "127.0.0.1:9123"
    assert written(data, "collector")["telemetry"]["url"] == "http://127.0.0.1:9123"
    assert written(data, "ui")["collector"]["url"] == "http://127.0.0.1:9440"
    assert written(data, "collector")["listen"]["agents"] == "127.0.0.1:9441"
    assert "endpoint" not in written(data, "agent")["agent"]
    assert written(data, "agent")["provider"] == {"name": "kvm", "uri": "qemu:///system"}


def test_each_agent_has_a_spool_and_an_identity_of_its_own(data: DataFolder) -> None:
    for name in ("agent", "agent-kvm-a"):
        data.write_agent(name, host=True, libvirt=None)

    spools = {written(data, name)["agent"]["spool"] for name in ("agent", "agent-kvm-a")}
    assert spools == {str(data.path / f"agents/{n}-spool") for n in ("agent", "agent-kvm-a")}
    identities = {written(data, name)["agent"]["identity"] for name in ("agent", "agent-kvm-a")}
    assert identities == {str(data.identity(n)) for n in ("agent", "agent-kvm-a")}


def test_an_edited_file_stays_and_the_others_follow_it(data: DataFolder) -> None:
    data.write_configuration(on_loopback())
    store = data.config("store")
    store.write_text(store.read_text().replace("127.0.0.1:8123", "127.0.0.1:9999"))
    edited = store.read_text()

    data.write_configuration(data.addresses(on_loopback()))

    assert store.read_text() == edited
    assert written(data, "collector")["telemetry"]["url"] == "http://127.0.0.1:9999"


def test_a_file_nobody_edited_follows_the_options(data: DataFolder) -> None:
    data.write_configuration(data.addresses(on_loopback()))

    data.write_configuration(data.addresses(on_loopback(offset=7)))

    assert written(data, "store")["store"]["listen"] == "127.0.0.1:8130"


def test_a_mistake_in_an_edited_file_is_named(data: DataFolder) -> None:
    data.config("ui").write_text("[ui\n")

    with pytest.raises(ConfigError, match=r"ui\.toml: not valid TOML"):
        data.addresses(on_loopback())


@pytest.mark.parametrize("path", ["a file", "a file/below"])
def test_a_folder_that_cannot_be_is_one_sentence(tmp_path: Path, path: str) -> None:
    (tmp_path / "a file").touch()

    with pytest.raises(ConfigError, match=r"cannot be used: .*; choose another one by --data"):
        DataFolder(tmp_path / path).prepare()


def test_one_novacron_at_a_time_runs_from_a_folder(data: DataFolder) -> None:
    assert data.claim.holder() is None
    with data.claim.held("http://127.0.0.1:8050"):
        assert data.claim.holder() == {"pid": os.getpid(), "url": "http://127.0.0.1:8050"}
        with (
            pytest.raises(ConfigError, match=r"already runs from .* see http://127\.0\.0\.1:8050"),
            data.claim.held("http://127.0.0.1:8050"),
        ):
            pass

    assert data.claim.holder() is None


def test_a_port_in_use_is_told_with_its_owner_and_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = Addresses(*(f"127.0.0.1:{port}" for _ in range(6)))

        with pytest.raises(ConfigError) as told:
            require_free(addresses)

    own_name = Path("/proc/self/comm").read_text().strip()
    assert str(told.value) == (
        f"port {port} (store) is taken by {own_name} (process {os.getpid()}): stop that program, "
        "or move NovaCron aside: novacron up --port-offset 100"
    )
    require_free(Addresses(*("127.0.0.1:0" for _ in range(6))))


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"port 9 \(store\) on 192\.0\.2\.1 cannot be used"):
        require_free(Addresses(*("192.0.2.1:9" for _ in range(6))))
