"""smartctl's JSON as metrics. Names come from disks' firmware, so they may be anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from novacron_agent.readings import Attributes, Reading

_DISKS = 64
_TEXT = 64  # characters of a model, a serial number, a name
_LARGEST = 2**63 - 1  # OTLP's integers have 64 bits
_HOTTEST = 1000
_SMART = "hw.physical_disk.smart_attribute"
# The same word for the same thing, whatever a maker calls it
_ATA = {
    5: "Reallocated Sectors Count",
    10: "Spin Retry Count",
    184: "End-to-End Error",
    187: "Reported Uncorrectable Errors",
    196: "Reallocation Event Count",
    197: "Current Pending Sector Count",
    198: "Uncorrectable Sector Count",
    199: "UltraDMA CRC Error Count",
}
_NVME = {
    "critical_warning": "Critical Warning",
    "available_spare": "Available Spare",
    "available_spare_threshold": "Available Spare Threshold",
    "percentage_used": "Percentage Used",
    "media_errors": "Media and Data Integrity Errors",
    "num_err_log_entries": "Error Log Entries",
    "unsafe_shutdowns": "Unsafe Shutdowns",
}
_USED = (  # per cent of the rated endurance; the first that is there
    ("nvme_smart_health_information_log", "percentage_used"),
    ("endurance_used", "current_percent"),
    ("scsi_percentage_used_endurance_indicator",),
)


def add_disks(reading: Reading, disks: Any) -> None:
    """What each disk tells of itself; one that sleeps, or cannot be read, tells nothing."""
    known: set[str] = set()
    for disk in disks[:_DISKS] if isinstance(disks, list) else []:
        match disk:
            case {"name": str(name), "type": str(kind), "report": {"smart_status": _} as report}:
                _add(reading, report, _named(name, kind), known)


def _named(name: str, kind: str) -> str:
    """Such as sda; where many disks are behind one name, which of them: bus/0 megaraid,3."""
    short = name.removeprefix("/dev/")
    return _text(f"{short} {kind}" if "," in kind else short)


def _add(reading: Reading, report: Mapping[str, Any], name: str, known: set[str]) -> None:
    serial = _text(report.get("serial_number"))
    identity = serial or name
    if identity in known:  # two paths to one disk, or two disks without a number of their own
        identity = f"{identity} {name}"
    known.add(identity)
    disk: Attributes = {"hw.id": identity, "hw.name": name}
    _add_size(reading, report, {**disk, **({"hw.serial_number": serial} if serial else {})})
    _add_status(reading, report, disk)
    degrees = _at(report, "temperature", "current")
    if type(degrees) is int and abs(degrees) < _HOTTEST:
        sensor = {"hw.id": f"{identity}/temperature", "hw.name": f"{name} SMART"}
        reading.add("hw.temperature", float(degrees), {**sensor, "hw.parent": identity})
    used = next((u for path in _USED if (u := _count(_at(report, *path))) is not None), None)
    if used is not None:
        remaining = {**disk, "hw.physical_disk.state": "remaining"}
        left = max(0.0, 1 - used / 100)  # it may go beyond 100
        reading.add("hw.physical_disk.endurance_utilization", left, remaining)
    for attribute, value in _counts(report):
        reading.add("hw.physical_disk.smart", value, {**disk, _SMART: attribute})


def _add_size(reading: Reading, report: Mapping[str, Any], disk: Attributes) -> None:
    texts = {
        "hw.model": _text(report.get("model_name") or report.get("scsi_model_name")),
        "hw.firmware_version": _text(report.get("firmware_version") or report.get("scsi_revision")),
        "hw.physical_disk.type": _type(report),
    }
    size = _count(_at(report, "user_capacity", "bytes"))
    if size is None:
        size = _count(report.get("nvme_total_capacity"))
    described = {**disk, **{key: text for key, text in texts.items() if text}}
    reading.add("hw.physical_disk.size", size, described)


def _add_status(reading: Reading, report: Mapping[str, Any], disk: Attributes) -> None:
    passed = _at(report, "smart_status", "passed")
    if not isinstance(passed, bool):
        return
    for state, is_so in (("ok", passed), ("predicted_failure", not passed)):
        attributes = {**disk, "hw.type": "physical_disk", "hw.state": state}
        reading.add("hw.status", int(is_so), attributes)


def _type(report: Mapping[str, Any]) -> str:
    turns = _count(report.get("rotation_rate"))
    if "nvme_smart_health_information_log" in report or turns == 0:
        return "SSD"
    return "HDD" if turns else ""


def _counts(report: Mapping[str, Any]) -> Iterator[tuple[str, int | None]]:
    yield "Power-On Hours", _count(_at(report, "power_on_time", "hours"))
    yield "Power Cycle Count", _count(report.get("power_cycle_count"))
    yield from _ata(_at(report, "ata_smart_attributes", "table"))
    for key, name in _NVME.items():
        yield name, _count(_at(report, "nvme_smart_health_information_log", key))
    yield _ATA[5], _count(report.get("scsi_grown_defect_list"))
    log = report.get("scsi_error_counter_log")
    for operation in ("read", "write", "verify"):
        uncorrected = _count(_at(log, operation, "total_uncorrected_errors"))
        yield f"Uncorrected {operation.title()} Errors", uncorrected


def _ata(table: Any) -> Iterator[tuple[str, int | None]]:
    found: dict[str, int | None] = {}
    for row in table if isinstance(table, list) else []:
        match row:
            case {"id": int(number), "raw": {"value": value, **more}} if number in _ATA:
                found.setdefault(_ATA[number], _raw(more.get("string"), value))
    yield from found.items()


def _raw(text: Any, value: Any) -> int | None:
    """The count as smartctl prints it: some makers keep other things in the upper bits of it."""
    printed = re.match(r"\d{1,18}(?!\d)", text) if isinstance(text, str) else None
    return int(printed[0]) if printed else _count(value)


def _at(report: Any, *path: str) -> Any:
    for key in path:
        report = report.get(key) if isinstance(report, dict) else None
    return report


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= _LARGEST else None


def _text(value: Any) -> str:
    """Printable, on one line, and not long."""
    if not isinstance(value, str):
        return ""
    return "".join(c for c in value[: 4 * _TEXT] if c.isprintable()).strip()[:_TEXT].strip()
