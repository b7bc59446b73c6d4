"""What is wanted: by the options, and where these say nothing by what is set or asked."""

from __future__ import annotations

import getpass
import os
from argparse import Namespace
from dataclasses import dataclass, field, replace
from pathlib import Path

from novacron_cli.setup.questions import ask, file, tell, words
from novacron_cli.up.choices import Choices, Port, distinct
from novacron_cli.up.data_folder import DataFolder
from novacron_contract.errors import ConfigError
from novacron_contract.listening import is_loopback
from novacron_contract.names import own_names

_MOST_PROPOSED = 4


@dataclass(frozen=True, slots=True)
class Answers:
    """`port_offset` None: as it is. `admin` "": nobody said a name; `asks`: somebody can be asked
    for it, and for its password."""

    choices: Choices
    port_offset: int | None = None
    admin: str = ""
    password_file: Path | None = field(default=None, repr=False)
    asks: bool = False
    invite: bool = False


def answers(args: Namespace, data: DataFolder, *, asks: bool) -> Answers:
    """
    Raises:
        ConfigError: an answer is wrong.
    """
    choices, is_first = data.choices(), not data.was_set_up
    if asks and is_first:
        tell(f"NovaCron's settings and data go to {data.path}.", "")
    choices = _certificate(args, _reached(args, choices, asks=asks and is_first))
    if asks and is_first and args.cert is None and _shows_it(choices):
        choices = _asked_certificate(choices)
    return Answers(
        choices,
        args.port_offset,
        args.admin or "",
        args.password_file,
        asks,
        args.invite or is_first,
    )


def _reached(args: Namespace, choices: Choices, *, asks: bool) -> Choices:
    """Names, and ports that others may reach."""
    names, ports = choices.names, choices.open
    if args.address is not None:
        names = distinct(words(" ".join(args.address)))
    elif asks and args.open is None:
        names = _asked_names()
    if args.open is not None:
        ports = () if "none" in args.open else tuple(dict.fromkeys(args.open))
    elif not names:
        ports = ()
    elif asks:
        ports = _asked_ports()
    elif not choices.names:  # named for the first time: for hosts, that prove who they are
        ports = (Port.AGENTS,)
    if ports and not names:
        raise ConfigError("--open: say by which name others reach this machine: --address NAME")
    return replace(choices, names=names, open=ports)


def _certificate(args: Namespace, choices: Choices) -> Choices:
    if args.cert is None:
        if args.key is not None or args.ca is not None:
            raise ConfigError("--key, --ca: belong to a certificate: say --cert FILE as well")
        return choices
    if args.cert == "own":
        return replace(choices, cert_file=None, key_file=None, ca_file=None)
    if args.key is None:
        raise ConfigError("--cert: its key is needed, too: --key FILE")
    cert, ca = file(args.cert), None if args.ca is None else file(str(args.ca))
    return replace(choices, cert_file=cert, key_file=file(str(args.key)), ca_file=ca)


def _shows_it(choices: Choices) -> bool:
    """Agents trust the collector's own authority alone."""
    return bool({Port.API, Port.OTLP} & set(choices.open))


def _asked_names() -> tuple[str, ...]:
    tell(
        "By which names and addresses do other machines reach this one? Hosts that join",
        "are told the first one. Say none, and NovaCron is for this machine alone.",
    )
    proposed = _proposed()
    return ask("Names", " ".join(proposed) or "none", lambda text: distinct(words(text)))


def _asked_ports() -> tuple[str, ...]:
    tell(
        "",
        "Which ports may they reach, by TLS? Some of these, or none:",
        "  agents  8441        hosts that join, known by their certificates",
        "  api     8440        people and programs that log in",
        "  otlp    4317, 4318  OpenTelemetry and Prometheus, with a token",
    )
    return ask("Ports", "agents", _ports)


def _ports(text: str) -> tuple[str, ...]:
    ports = words(text)
    Choices(names=("localhost",), open=ports)
    if unknown := set(ports) - set(Port):
        raise ConfigError(f"expected some of {', '.join(Port)}, or none; got {min(unknown)[:40]!r}")
    return ports


def _asked_certificate(choices: Choices) -> Choices:
    tell(
        "",
        "The certificate that people and programs are shown: own, which NovaCron makes",
        "and renews, or the file of yours, with its chain.",
    )
    cert = ask("Certificate", "own", lambda text: None if text == "own" else file(text))
    if cert is None:
        return choices
    key = ask("Its key", str(cert.with_suffix(".key")), file)
    tell("Its authority: system, or a file if other machines do not know it.")
    ca = ask("Authority", "system", lambda text: None if text == "system" else file(text))
    return replace(choices, cert_file=cert, key_file=key, ca_file=ca)


def asked_admin() -> str:
    tell("", "The first user, who may do everything.")
    return ask("Name", os.environ.get("SUDO_USER") or getpass.getuser(), str)


def _proposed() -> list[str]:
    """What is known of this machine: whole names first, then addresses, then what only its own
    network may know. Without an address nobody reaches it."""
    names = [name for name in own_names((), ()) if not _is_local(name)]
    addresses = [name for name in names if _is_address(name)]
    whole = [name for name in names if "." in name and name not in addresses]
    rest = [name for name in names if name not in (*whole, *addresses)]
    return [*whole, *addresses, *rest][:_MOST_PROPOSED] if addresses else []


def _is_local(name: str) -> bool:
    return is_loopback(name) or name.partition(".")[0] == "localhost"


def _is_address(name: str) -> bool:
    return ":" in name or name.replace(".", "").isdecimal()
