"""Devices of a VM that is there, as orders say them: the same as in a spec, one at a time."""

from __future__ import annotations

from typing import Any

from novacron_contract.vm_spec.shapes import Record, Text, as_json
from novacron_contract.vm_spec.spec import MAC, Disk, Network

_DISK, _NETWORK = Record(Disk), Record(Network)
_DISK_NAME = Text(
    most=511,
    pattern=r"[^/]+(/[^/]+)?",
    allowed="a disk by its name for the host, such as vda, or as POOL/VOLUME",
)


def parse_disk(raw: object, path: str) -> Disk:
    """
    Raises:
        BadMessage: it is none, with what is wrong where.
    """
    disk: Disk = _DISK.parse(raw, path)
    return disk


def parse_network(raw: object, path: str) -> Network:
    """
    Raises:
        BadMessage: it is none, with what is wrong where.
    """
    network: Network = _NETWORK.parse(raw, path)
    return network


def disk_json(raw: object, path: str) -> dict[str, Any]:
    return as_json(parse_disk(raw, path))


def network_json(raw: object, path: str) -> dict[str, Any]:
    return as_json(parse_network(raw, path))


def disk_name(raw: object, path: str) -> str:
    return _DISK_NAME.parse(raw, path)


def mac(raw: object, path: str) -> str:
    return MAC.parse(raw, path).lower()


def disk_schema() -> dict[str, Any]:
    return _DISK.schema()


def network_schema() -> dict[str, Any]:
    return _NETWORK.schema()
