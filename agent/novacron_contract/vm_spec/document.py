"""A spec as people write it: a mapping, from YAML or JSON; and its schema."""

from __future__ import annotations

import json
from typing import Any

from novacron_contract.errors import BadMessage
from novacron_contract.vm_spec.shapes import Record
from novacron_contract.vm_spec.spec import VmSpec

MAX_BYTES = 128 * 1024  # as JSON
_SPEC = Record(VmSpec)


def parse(raw: object, path: str = "") -> VmSpec:
    """`path` is put before what errors name.

    Raises:
        BadMessage: it is none, with what is wrong where, and what is allowed.
    """
    try:
        spec: VmSpec = _SPEC.parse(raw, "")
    except BadMessage as err:
        raise BadMessage(f"{path}: {err}" if path else str(err)) from err
    size = len(json.dumps(spec.as_json(), ensure_ascii=False).encode())
    if size > MAX_BYTES:
        where = f"{path}: " if path else ""
        raise BadMessage(f"{where}{size} bytes as JSON; allowed: {MAX_BYTES}")
    return spec


def schema() -> dict[str, Any]:
    """JSON schema, draft 2020-12. What it allows may be refused yet: by rules between members,
    which errors name, and by what is on the host."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:novacron:vm-spec:1",
        "title": "A virtual machine",
        **_SPEC.schema(),
    }
