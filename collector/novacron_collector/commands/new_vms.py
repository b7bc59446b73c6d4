"""VMs that somebody wants to have, out of JSON that may be anything."""

from __future__ import annotations

import re
from typing import Any

import orjson

from novacron_collector.commands.members import only, optional, text, whole
from novacron_collector.commands.request import MAX_NAME, NewVms, Request, how
from novacron_contract import vm_spec
from novacron_contract.commands import Verb
from novacron_contract.errors import BadMessage, TooLarge
from novacron_store.state.commands import Step, withhold

MAX_NEW = 1000  # VMs in one request
MAX_FIRST = 1_000_000
MEMBERS = (
    *("spec", "host", "name", "count", "first", "reason", "ttl", "timeout", "dry_run"),
    *("max_parallel", "max_per_minute", "stop_after_failures"),
)
_MAX_STORED = 4 * 1024 * 1024  # bytes of the specs of all VMs of a request, as JSON
_PLACE = re.compile(r"\{n(?::0([1-9]))?\}")
_FORM = (
    "expected JSON such as {'spec': {'name': 'web-1', 'memory_mib': 1024}}: the spec is as "
    f"GET /v1/vm-spec says; members: {', '.join(MEMBERS)}"
)


def parse(body: Any) -> Request:
    """
    Raises:
        BadMessage: it is none; of a spec with the path of what is wrong.
        TooLarge: so many of so large a spec are more than is kept.
    """
    if not isinstance(body, dict) or not isinstance(body.get("spec"), dict):
        raise BadMessage(_FORM)
    only(body, MEMBERS, "")
    new = _new(body)
    vm_spec.labels(new.spec.owner, new.spec.tags)
    shown, secrets = withhold({"spec": new.spec.as_json()})
    size = len(orjson.dumps(shown)) * len(new.names)
    if size > _MAX_STORED:
        raise TooLarge(f"{len(new.names)} specs are {size} bytes; allowed: {_MAX_STORED}")
    return Request(
        steps=(Step(verb=Verb.CREATE, arguments=shown),),
        vms=None,
        select=None,
        expect=frozenset(),
        confirm=None,
        new=new,
        secrets=secrets,
        **how(body),
    )


def own_arguments(asked: Request, name: str) -> dict[str, Any]:
    """Those of one of the new VMs, without secrets."""
    return {"spec": {**asked.steps[0].arguments["spec"], "name": name}}


def _new(body: dict[str, Any]) -> NewVms:
    raw = body["spec"]
    name = text("name", body.get("name", raw.get("name", "")), MAX_NAME)
    count = optional(body, "count", whole, 1, MAX_NEW) or 1
    first = optional(body, "first", whole, 0, MAX_FIRST)
    if count > 1 and not _PLACE.search(name):
        raise BadMessage(f"name: {count} VMs need a number in their name, such as web-{{n}}")
    first = 1 if first is None else first
    names = tuple(_named(name, number) for number in range(first, first + count))
    specs = [vm_spec.parse({**raw, "name": names[0]}, "spec")]
    specs += [vm_spec.parse({"name": one, "memory_mib": 1}, "spec") for one in names[1:]]
    _require_shareable(specs[0], count)
    host = text("host", body["host"], MAX_NAME) if body.get("host") is not None else None
    return NewVms(spec=specs[0], name=name, names=names, first=first, host=host)


def _named(pattern: str, number: int) -> str:
    return _PLACE.sub(lambda found: f"{number:0{found[1] or 1}}", pattern)


def _require_shareable(spec: vm_spec.VmSpec, count: int) -> None:
    """What only one VM can have.

    Raises:
        BadMessage: several would have it.
    """
    if count == 1:
        return
    for place, network in enumerate(spec.networks):
        if network.mac is not None:
            raise BadMessage(f"spec: networks[{place}].mac: {count} VMs cannot have the same one")
    for place, disk in enumerate(spec.disks):
        if disk.volume is not None and disk.device is not vm_spec.Device.CDROM:
            raise BadMessage(f"spec: disks[{place}].volume: {count} VMs cannot write to the same")
