"""What is set, and what to do next; it fits a terminal of 80 columns, but for the line to copy."""

from __future__ import annotations

import shlex
from typing import Any

from novacron_cli.output import plain, print_json
from novacron_cli.setup.doing import Done
from novacron_cli.up.addresses import offset_of
from novacron_cli.up.choices import Port, is_here
from novacron_cli.up.summary import command_for, folder_option, program
from novacron_contract.settings import host_port

_LEFT = 12  # columns of what stands before a fact
_PORTS = {Port.AGENTS: "agents", Port.API: "API", Port.OTLP: "OTLP"}


def show(done: Done, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(done))
        return
    print(f"NovaCron is set up in {done.data.path}.\n")
    for name, value in _facts(done).items():
        print(f"  {name:<{_LEFT}} {plain(value)}")
    print("\nNext:")
    for name, value in _next(done):
        print(f"  {name:<{_LEFT}} {value}")
    if done.invited is not None:
        _show_line(done)


def _show_line(done: Done) -> None:
    assert done.invited is not None
    until = done.invited.until.strftime("%H:%M UTC")
    print(f"\nLet a host join: run this on it, until {until}. Further lines:")
    print(f"{_novacron(done)} agent invite\n")
    print(f"echo '{done.invited.line}' | sudo novacron-agent join")
    if is_here(done.addresses.agents):
        print("\nOnly this machine reaches that port. To let others reach it:")
        print(f"{program()} setup --address NAME")


def _facts(done: Done) -> dict[str, str]:
    choices = done.choices
    facts = {
        "reached by": ", ".join(choices.names) or "nobody else: this machine alone",
        "open ports": _open_ports(done),
    }
    if choices.brings_certificate:
        facts["certificate"] = str(choices.cert_file)
        facts["its trust"] = str(choices.ca_file or "the authorities that systems know")
    facts["authority"] = str(done.data.ca_file)
    facts["admin"] = ", ".join(done.admins)
    facts["API"] = done.client.url
    facts["settings"] = f"{done.data.path}/config"
    return facts


def _open_ports(done: Done) -> str:
    listed = (f"{_PORTS[port]} {numbers}" for port, numbers in _numbers(done).items() if numbers)
    return ", ".join(listed) or "none"


def _numbers(done: Done) -> dict[Port, str]:
    where = done.addresses
    listeners = {
        Port.AGENTS: (where.agents,),
        Port.API: (where.api,),
        Port.OTLP: (where.otlp_grpc, where.otlp_http),
    }
    return {
        port: " ".join(str(host_port(one)[1]) for one in every if not is_here(one))
        for port, every in listeners.items()
    }


def _next(done: Done) -> list[tuple[str, str]]:
    novacron, data = _novacron(done), done.data
    steps = []
    if data.claim.holder() is None:
        steps.append(("start it", f"{program()} up{_options(done)}"))
    elif data.needs_restart:
        steps.append(("restart it", "Ctrl-C where it runs, and the same command again"))
    else:
        steps.append(("look", str((data.claim.holder() or {}).get("url"))))
    if done.admins:
        steps.append(("log in", f"{novacron} login {shlex.quote(done.admins[0])}"))
    if done.client.ca_file is not None and not is_here(done.addresses.api):
        host = done.choices.names[0] if done.choices.names else "HOST"
        url = f"https://{f'[{host}]' if ':' in host else host}:{host_port(done.addresses.api)[1]}"
        steps.append(("elsewhere", f"novacron login NAME --ca-file ca.pem --url {url}"))
        steps.append(("", f"with a copy of {done.client.ca_file}"))
    return steps


def _document(done: Done) -> dict[str, Any]:
    choices, invited = done.choices, done.invited
    files = {
        name: None if path is None else str(path)
        for name, path in (
            ("cert_file", choices.cert_file),
            ("key_file", choices.key_file),
            ("ca_file", done.client.ca_file),
            ("authority", done.data.ca_file),
        )
    }
    return {
        "data": str(done.data.path),
        "names": list(choices.names),
        "open": list(choices.open),
        "api": done.client.url,
        **files,
        "admins": list(done.admins),
        "runs": done.data.claim.holder() is not None,
        "needs_restart": done.data.needs_restart,
        "join": None
        if invited is None
        else {"line": invited.line, "expires": f"{invited.until:%Y-%m-%dT%H:%M:%SZ}"},
        "published": [str(path) for path in done.published],
    }


def _options(done: Done) -> str:
    offset = offset_of(done.addresses.store)
    return folder_option(done.data) + (f" --port-offset {offset}" if offset else "")


def _novacron(done: Done) -> str:
    return program() if done.published else command_for(done.data)
