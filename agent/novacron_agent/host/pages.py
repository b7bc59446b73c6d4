"""Huge pages, which guests are backed by, and pages that guests share (KSM)."""

from __future__ import annotations

import os
from pathlib import Path

from novacron_agent.host.kernel_files import number
from novacron_agent.readings import Reading

PAGE_SIZE = "system.memory.linux.hugepages.page_size"
STATE = "system.memory.linux.hugepages.state"
_HUGEPAGES = Path("/sys/kernel/mm/hugepages")
_KSM = Path("/sys/kernel/mm/ksm")
_KSM_STATES = ("shared", "sharing", "unshared", "volatile")


def sizes(hugepages: Path) -> list[tuple[int, Path]]:
    """Bytes of a page, and where its counts are, for each size this machine knows."""
    found = [
        (int(place.name.removeprefix("hugepages-").removesuffix("kB")) * 1024, place)
        for place in hugepages.glob("hugepages-*kB")
    ]
    return sorted(found)


def usage(place: Path) -> dict[str, int]:
    """Pages by state; empty where nobody knows."""
    total, free = number(place / "nr_hugepages"), number(place / "free_hugepages")
    if total is None or free is None:
        return {}
    return {"used": max(0, total - free), "free": free}


def read_hugepages(reading: Reading, hugepages: Path = _HUGEPAGES) -> None:
    for size, place in sizes(hugepages):
        page = {PAGE_SIZE: size}
        pages = usage(place)
        for state, count in pages.items():
            reading.add("system.memory.linux.hugepages.usage", count, {**page, STATE: state})
        if pages:
            reading.add("system.memory.linux.hugepages.limit", sum(pages.values()), page)
        for kind, file in (("reserved", "resv_hugepages"), ("surplus", "surplus_hugepages")):
            reading.add(f"system.memory.linux.hugepages.{kind}", number(place / file), page)


def read_ksm(reading: Reading, ksm: Path = _KSM) -> None:
    """What is `sharing` is what KSM saves."""
    size = os.sysconf("SC_PAGE_SIZE")
    for state in _KSM_STATES:
        pages = number(ksm / f"pages_{state}")
        if pages is not None:
            attributes = {"system.memory.linux.ksm.state": state}
            reading.add("system.memory.linux.ksm.usage", pages * size, attributes)
