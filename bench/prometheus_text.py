"""The synthetic fleet in Prometheus' text format, with what OTLP's resource says as labels."""

from __future__ import annotations

from collections.abc import Iterator

from otlp_bodies import identity
from synthetic import SERIES, Fleet


def texts(fleet: Fleet, start: int, scrapes: int, vms_per_agent: int) -> Iterator[list[bytes]]:
    """The requests of each scrape, point for point those of `otlp_bodies.bodies`."""
    names = [[_series(vm, *series) for series in SERIES] for vm in range(fleet.vms)]
    for batch in fleet.batches(start, [1] * scrapes):
        samples = batch.tables["samples"]
        values = samples["value"].to_numpy().reshape(fleet.vms, len(SERIES)).tolist()
        times = samples["ts"].cast("int64").to_numpy()[:: len(SERIES)].tolist()
        machines = [_lines(*machine) for machine in zip(names, values, times, strict=True)]
        yield [
            "".join(machines[first : first + vms_per_agent]).encode()
            for first in range(0, fleet.vms, vms_per_agent)
        ]


def _series(vm: int, metric: str, attributes: dict[str, str]) -> str:
    labels = {**identity(vm), **attributes}.items()
    pairs = ",".join(f'{key.replace(".", "_")}="{text}"' for key, text in labels)
    return f"{metric.replace('.', '_')}{{{pairs}}}"


def _lines(names: list[str], values: list[float], time: int) -> str:
    numbers = (int(value) if value.is_integer() else value for value in values)
    return "".join(f"{name} {value} {time}\n" for name, value in zip(names, numbers, strict=True))
