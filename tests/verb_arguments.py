"""Arguments with which each verb can be ordered; of those that are not here: none."""

from __future__ import annotations

from novacron_contract.commands import Value, Verb

OF_VERB: dict[Verb, dict[str, Value]] = {
    Verb.CREATE: {"spec": {"name": "contract", "memory_mib": 64}},
    Verb.ATTACH_DISK: {"disk": {"size_gib": 0.001}},
    Verb.DETACH_DISK: {"disk": "vdz"},
    Verb.GROW_DISK: {"disk": "vdz", "size_gib": 1},
    Verb.ATTACH_NIC: {"nic": {"network": "default"}},
    Verb.DETACH_NIC: {"mac": "52:54:00:ff:ff:ff"},
    Verb.DELETE: {"force": True},
    Verb.RESIZE: {"memory_mib": 48},
    Verb.RENAME: {"new_name": "renamed"},
    Verb.SNAPSHOT: {"memory": True},
    Verb.REVERT: {"snapshot": "contract"},
    Verb.DELETE_SNAPSHOT: {"snapshot": "contract"},
}
