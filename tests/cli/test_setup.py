"""novacron setup: what an operator runs first on the collector's machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tomllib
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certificates import certificates
from cli.runs import Ended
from novacron_cli import client_file
from novacron_cli.main import main
from novacron_cli.up.addresses import on_loopback
from novacron_cli.up.data_folder import DataFolder
from novacron_contract.access import Role
from novacron_store.state import Audit, Users, open_state
from novacron_store.state.audit import Wanted
from novacron_store.state.join_tokens import JoinTokens
from novacron_store.state.passwords import Passwords
from terminal import typed

PASSWORD = "correct horse battery"
NOVACRON = str(Path(sys.executable).with_name("novacron"))


@dataclass
class Machine:
    data: DataFolder
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *words: str, stdin: str = "") -> Ended:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main(["setup", *words])
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)

    def first(self, *words: str) -> Ended:
        ended = self.run("--admin", "ann", *words, stdin=f"{PASSWORD}\n")
        assert ended.code == 0, ended.err
        return ended

    def settings(self, name: str) -> dict[str, Any]:
        return tomllib.loads(self.data.config(name).read_text())

    def names(self) -> list[str]:
        """Of the certificate that hosts are shown."""
        shown = x509.load_pem_x509_certificate((self.data.authority / "server.pem").read_bytes())
        told = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return [str(name.value) for name in told]

    def pin(self) -> str:
        key = x509.load_pem_x509_certificate(self.data.ca_file.read_bytes()).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


@pytest.fixture
def machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Machine:
    monkeypatch.setenv("NOVACRON_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("NOVACRON_URL", raising=False)
    monkeypatch.setattr(client_file, "INSTALLED", tmp_path / "etc")
    return Machine(DataFolder(tmp_path / "data"), capsys, monkeypatch)


def fits(shown: str) -> bool:
    """A terminal of 80 columns, but for folders of tests and the line to copy."""
    long = [line for line in shown.splitlines() if len(line) > 80]
    return all("/" in line for line in long)


def test_this_machine_alone_has_an_admin_an_authority_and_a_line_to_join(machine: Machine) -> None:
    ended = machine.first("--address", "none")

    line = re.search(r"echo '(\S+)#(\S+):(nvj_\S{43})' \| sudo novacron-agent join\n", ended.out)
    assert line, ended.out
    assert line.groups()[:2] == ("https://127.0.0.1:8441", machine.pin())
    assert "novacron up\n" in ended.out
    assert "novacron login ann\n" in ended.out
    state = open_state(machine.settings("collector")["state"]["url"])
    (ann,) = Users(state).all()
    assert (ann.name, [grant.role for grant in ann.grants]) == ("ann", [Role.ADMIN])
    assert Passwords().matches(Users(state).password("ann"), PASSWORD)
    assert [token.max_uses for token in JoinTokens(state).all()] == [1]
    on_record = {entry.action for entry in Audit(state).rows(Wanted())}
    assert {"user.create", "agent.invite"} <= on_record
    state.dispose()
    assert fits(ended.out)


def test_again_it_shows_what_is_set_and_changes_nothing(machine: Machine) -> None:
    first = machine.first("--address", "kvm.example.com")
    before = {path: path.read_bytes() for path in machine.data.path.glob("config/*")}

    again = machine.run()

    assert again.code == 0
    assert again.out.partition("\nNext:")[0] == first.out.partition("\nNext:")[0]
    assert "nvj_" not in again.out
    assert {path: path.read_bytes() for path in machine.data.path.glob("config/*")} == before
    assert "nvj_" in machine.run("--invite").out


@pytest.mark.parametrize("address", ["kvm-2.example.com", "2001:db8::7", "192.0.2.7"])
def test_another_address_is_in_another_certificate_of_the_same_authority(
    machine: Machine, address: str
) -> None:
    machine.first("--address", "kvm.example.com")
    pin = machine.pin()

    ended = machine.run("--address", address, "--invite")

    assert ended.code == 0, ended.err
    assert address in machine.names()
    assert machine.pin() == pin
    at = f"[{address}]" if ":" in address else address
    assert f"echo 'https://{at}:8441#{pin}:nvj_" in ended.out
    assert machine.settings("collector")["enrolment"] == {"address": f"{at}:8441"}


def test_ports_are_opened_and_closed_by_name(machine: Machine) -> None:
    machine.first("--address", "kvm.example.com", "--open", "api", "--open", "otlp")
    listen = machine.settings("collector")["listen"]
    assert [listen[name].rpartition(":")[0] for name in ("api", "otlp_http", "otlp_grpc")] == [
        listen["api"].rpartition(":")[0]
    ] * 3
    assert listen["api"] in ("[::]:8440", "0.0.0.0:8440")
    assert listen["agents"] == "127.0.0.1:8441"
    assert machine.settings("ui")["collector"]["url"] == "https://127.0.0.1:8440"

    assert machine.run("--open", "none").code == 0

    addresses = machine.data.addresses(on_loopback())
    assert machine.settings("collector")["listen"]["api"] == addresses.api
    assert machine.settings("ui")["collector"] == {"url": "http://127.0.0.1:8440"}


def test_the_command_line_finds_the_collector_that_was_set_up(machine: Machine) -> None:
    machine.first("--address", "kvm.example.com", "--open", "api", "--port-offset", "70")

    found = client_file.usual()

    assert found == client_file.ClientFile("https://127.0.0.1:8510", machine.data.ca_file)
    machine.monkeypatch.setenv("NOVACRON_URL", "https://elsewhere.example.com:8440")
    elsewhere = client_file.ClientFile("https://elsewhere.example.com:8440")
    assert client_file.usual() == elsewhere


def test_others_on_the_machine_find_it_where_everybody_looks(
    machine: Machine, tmp_path: Path
) -> None:
    machine.first("--address", "kvm.example.com", "--open", "api")
    client = client_file.usual()

    client_file.publish(client)
    machine.monkeypatch.setenv("NOVACRON_DATA", str(tmp_path / "not ours"))

    assert client_file.usual() == client_file.ClientFile(client.url, tmp_path / "etc" / "ca.pem")
    assert (tmp_path / "etc" / "ca.pem").read_bytes() == machine.data.ca_file.read_bytes()
    client_file.publish(client_file.ClientFile())
    assert client_file.usual() == client_file.ClientFile()


def test_what_somebody_edited_stays_and_is_told(machine: Machine) -> None:
    machine.first("--address", "none")
    file = machine.data.config("collector")
    file.write_text(file.read_text() + "\n[limits]\nseries = 5000\n")
    edited = file.read_text()

    refused = machine.run("--address", "kvm.example.com")

    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert 'write [listen] agents = "[::]:8441", [tls] names = ["kvm.example.com"]' in refused.err
    assert file.read_text() == edited
    assert machine.settings("setup")["setup"]["names"] == []
    advice = edited.replace('agents = "127.0.0.1:8441"', 'agents = "[::]:8441"')
    advice += '[tls]\nnames = ["kvm.example.com"]\n[enrolment]\naddress = "kvm.example.com:8441"\n'
    file.write_text(advice)
    assert machine.run("--address", "kvm.example.com").code == 0
    assert file.read_text() == advice
    assert "kvm.example.com" in machine.names()


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A folder with a certificate of a private authority, for 127.0.0.1, and what goes wrong."""
    folder = tmp_path / "brought"
    folder.mkdir()
    certificates(folder)
    make = ("openssl", "x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key")
    made = (*make, "-days", "-1", "-extfile", "leaf.ext", "-out", "expired.pem")
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    return folder


def test_a_certificate_is_brought(machine: Machine, brought: Path) -> None:
    files = ["--cert", f"{brought}/leaf.pem", "--key", f"{brought}/leaf.key"]
    ended = machine.first("--address", "127.0.0.1", "--open", "api", *files, "--ca",
                          f"{brought}/ca.pem")  # fmt: skip

    assert f"certificate  {brought}/leaf.pem\n" in ended.out
    tls = machine.settings("collector")["tls"]
    assert (tls["cert_file"], tls["key_file"]) == (files[1], files[3])
    assert client_file.usual() == client_file.ClientFile(
        "https://127.0.0.1:8440", brought / "ca.pem"
    )
    machine.run("--cert", "own")
    assert "cert_file" not in machine.settings("collector")["tls"]


@pytest.mark.parametrize(
    ("cert", "key", "ca", "address", "said"),
    [
        ("leaf", "ca", "ca", "127.0.0.1", "ca.key: is not the key of"),
        ("leaf", "leaf", "other", "127.0.0.1", "ends in no authority that is trusted here"),
        ("leaf", "leaf", None, "127.0.0.1", "ends in no authority that is trusted here"),
        ("leaf", "leaf", "ca", "kvm.example.com", "is not made out to kvm.example.com"),
        ("leaf", "leaf", "ca", "::1", "is not made out to ::1"),
        ("expired", "leaf", "ca", "127.0.0.1", "has expired"),
        ("none", "leaf", "ca", "127.0.0.1", "none.pem: there is no such file"),
    ],
)
def test_a_certificate_that_will_not_do_is_told_and_nothing_is_changed(
    machine: Machine, brought: Path, cert: str, key: str, ca: str | None, address: str, said: str
) -> None:
    words = ["--cert", f"{brought}/{cert}.pem", "--key", f"{brought}/{key}.key"]
    words += ["--ca", f"{brought}/{ca}.pem"] if ca else []
    words += ["--admin", "ann", "--address", address, "--open", "api"]

    ended = machine.run(*words, stdin=f"{PASSWORD}\n")

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err
    assert not machine.data.config("setup").exists()


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        ([], "", "there is no user yet: say --admin NAME"),
        (["--admin", "ann"], "", "a password is missing"),
        (["--admin", "ann"], "short\n", "password: shorter than 10 characters"),
        (["--admin", "No Name"], f"{PASSWORD}\n", "name"),
        (["--admin", "ann", "--address", "a b/c"], f"{PASSWORD}\n", "expected a name or an addr"),
        (["--admin", "ann", "--open", "api"], f"{PASSWORD}\n", "--address NAME"),
        (["--admin", "ann", "--key", "k"], f"{PASSWORD}\n", "say --cert FILE as well"),
        (["--admin", "ann", "--password-file", "/nowhere"], "", "the secret cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_changes_nothing(
    machine: Machine, words: list[str], stdin: str, said: str
) -> None:
    ended = machine.run(*words, stdin=stdin)

    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err
    assert PASSWORD not in ended.err
    assert not machine.data.config("setup").exists()


def test_there_is_one_first_admin(machine: Machine) -> None:
    machine.first("--address", "none")

    assert machine.run("--admin", "ann").code == 0
    refused = machine.run("--admin", "bob", stdin=f"{PASSWORD}\n")

    assert refused.code == 2
    assert "there are users already" in refused.err


def test_programs_read_it(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    asked = ["--address", "kvm.example.com", "--json"]

    ended = machine.first(*asked, "--password-file", str(tmp_path / "password"))

    told = json.loads(ended.out)
    assert told["join"]["line"].startswith("https://kvm.example.com:8441#")
    assert (told["names"], told["open"]) == (["kvm.example.com"], ["agents"])
    assert (told["runs"], told["needs_restart"], told["admins"]) == (False, False, ["ann"])
    assert json.loads(machine.run("--json").out)["join"] is None


def test_it_tells_whether_what_runs_is_to_be_started_again(machine: Machine) -> None:
    machine.first("--address", "none")
    with machine.data.claim.held("http://127.0.0.1:8050"):
        machine.data.note_start()
        assert re.search(r"look +http://127.0.0.1:8050\n", machine.run().out)

        changed = machine.run("--address", "kvm.example.com")

        assert re.search(
            "restart it +Ctrl-C where it runs, and the same command again", changed.out
        )
        assert "restart it" in machine.run().out


def test_the_questions_of_a_terminal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    answers = [
        ("]: ", "kvm.example.com, 2001:db8::7"),
        ("Ports [agents]: ", "everything"),
        ("Ports [agents]: ", "agents api"),
        ("Certificate [own]: ", ""),
        ("]: ", "ann"),
        ("New password: ", PASSWORD),
        ("Once more: ", PASSWORD),
    ]

    code, shown = typed([NOVACRON, "setup", "--data", str(data)], answers)

    assert code == 0, shown
    assert "expected some of agents, api, otlp, or none; got 'everything'" in shown
    assert PASSWORD not in shown
    setup = tomllib.loads((data / "config" / "setup.toml").read_text())["setup"]
    assert setup == {"names": ["kvm.example.com", "2001:db8::7"], "open": ["agents", "api"]}
    assert fits(shown)
