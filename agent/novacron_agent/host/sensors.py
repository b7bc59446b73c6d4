"""Temperatures and fans, from the kernel's hardware monitors (hwmon)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from novacron_agent.host.kernel_files import number, word
from novacron_agent.readings import Reading

_HWMON = Path("/sys/class/hwmon")
_LIMITS = {"max": "high.degraded", "crit": "high.critical"}  # OpenTelemetry's hw.limit_type
_ABSURD = 1000.0  # degrees: what a sensor that is not connected, or a limit that is not set, says


@dataclass(frozen=True, slots=True)
class Sensor:
    """`id` stays the same over restarts, where the kernel may number its monitors anew."""

    path: Path  # without "_input"
    id: str
    name: str
    parent: str

    @property
    def attributes(self) -> dict[str, str]:
        return {"hw.id": self.id, "hw.name": self.name, "hw.parent": self.parent}


def read_sensors(reading: Reading, hwmon: Path = _HWMON) -> None:
    for sensor in _sensors(hwmon, "temp"):
        degrees = _degrees(sensor, "input")
        if degrees is None:
            continue
        reading.add("hw.temperature", degrees, sensor.attributes)
        for file, kind in _LIMITS.items():
            attributes = {**sensor.attributes, "hw.limit_type": kind}
            reading.add("hw.temperature.limit", _degrees(sensor, file), attributes)
    for sensor in _sensors(hwmon, "fan"):
        turns = number(Path(f"{sensor.path}_input"))
        if turns is not None and turns >= 0:
            reading.add("hw.fan.speed", turns, sensor.attributes)


def _sensors(hwmon: Path, kind: str) -> Iterator[Sensor]:
    for monitor in sorted(hwmon.glob("hwmon*")):
        chip = word(monitor / "name") or monitor.name
        device = monitor / "device"
        parent = device.resolve().name if device.exists() else chip
        for file in sorted(monitor.glob(f"{kind}[0-9]*_input")):
            channel = file.name.removesuffix("_input")
            name = f"{chip} {word(monitor / f'{channel}_label') or channel}"
            yield Sensor(monitor / channel, f"{parent}/{chip}/{channel}", name, parent)


def _degrees(sensor: Sensor, file: str) -> float | None:
    """The kernel counts thousandths."""
    value = number(Path(f"{sensor.path}_{file}"))
    return value / 1000 if value is not None and abs(value / 1000) < _ABSURD else None
