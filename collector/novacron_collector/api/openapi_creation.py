"""VMs that are created, in the OpenAPI document."""

from __future__ import annotations

from typing import Any

from novacron_collector.api.openapi_commands import KEY, NAME, NEW, OBJECT, change, get, or_null
from novacron_collector.api.schemas import Schema, exactly, ref
from novacron_collector.commands.new_vms import MAX_FIRST, MAX_NEW
from novacron_contract import vm_spec

CREATE = change(
    "Create VMs from a spec, as an operation; with dry_run only its plan",
    *(ref("OperationDetail"), KEY),
    body="NewVms",
    status="201",
    more={"200": {"oneOf": [ref("Plan"), ref("OperationDetail")]}},
)
SPEC = {"get": get("What a VM can be created from, as JSON schema", OBJECT)}


def creation_schemas() -> dict[str, Schema]:
    return {
        "NewVms": {**exactly(**_NEW_VMS), "required": ["spec"]},
        "VmSpec": {name: of for name, of in vm_spec.schema().items() if name[0] != "$"},
    }


_AS_OF_ALL = (
    *("reason", "ttl", "timeout", "dry_run"),
    *("max_parallel", "max_per_minute", "stop_after_failures"),
)
_NEW_VMS: dict[str, Any] = {
    "spec": ref("VmSpec"),
    "host": {
        **or_null(NAME),
        "description": "id or name; default: for each VM the host with the most memory left",
    },
    "name": {
        **NAME,
        "description": "in place of the spec's; of several with their number: web-{n}, web-{n:03}",
    },
    "count": {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_NEW, "default": 1},
    "first": {
        **{"type": ["integer", "null"], "minimum": 0, "maximum": MAX_FIRST, "default": 1},
        "description": "the number in the first one's name",
    },
    **{name: NEW[name] for name in _AS_OF_ALL},
}
