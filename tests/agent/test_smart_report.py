"""What is made of documents of smartctl: ATA, NVMe and SAS disks, and whatever else one says."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novacron_agent.host.smart_report import add_disks
from novacron_agent.identity import Machine
from novacron_agent.otlp import Encoder
from novacron_agent.readings import Reading
from novacron_contract.metrics import BY_NAME
from provider_contract import values
from smart_disks import disk
from smartctl_documents import ASLEEP, ATA, NVME, SAS

MACHINE = Machine(id="1" * 32, name="kvm-1", arch="amd64", os_description="Debian")


@pytest.fixture
def reading() -> Reading:
    return Reading({}, 0)


def smart(reading: Reading) -> dict[tuple[Any, ...], float]:
    return {
        (name, attribute): value
        for (_id, name, attribute), value in values(reading, "hw.physical_disk.smart").items()
    }


def sizes(reading: Reading) -> dict[Any, float]:
    return {
        (sample.attributes["hw.name"], sample.attributes["hw.physical_disk.type"]): sample.value
        for sample in reading.samples
        if sample.metric.name == "hw.physical_disk.size"
    }


def test_an_ata_disk_that_is_about_to_fail(reading: Reading) -> None:
    add_disks(reading, [disk(ATA)])

    assert values(reading, "hw.status") == {
        ("WD-WCC7K0000001", "sda", "physical_disk", "ok"): 0,
        ("WD-WCC7K0000001", "sda", "physical_disk", "predicted_failure"): 1,
    }
    assert sizes(reading) == {("sda", "HDD"): 4000787030016}
    assert list(values(reading, "hw.temperature").values()) == [39]
    assert values(reading, "hw.physical_disk.endurance_utilization") == {}
    assert smart(reading) == {
        ("sda", "Power-On Hours"): 41234,
        ("sda", "Power Cycle Count"): 57,
        ("sda", "Reallocated Sectors Count"): 12,  # as printed, not with what else is in its bits
        ("sda", "Current Pending Sector Count"): 3,
        ("sda", "UltraDMA CRC Error Count"): 0,
    }


def test_an_nvme_disk(reading: Reading) -> None:
    add_disks(reading, [disk(NVME)])

    assert values(reading, "hw.status") == {
        ("S64GNE0R000001", "nvme0", "physical_disk", "ok"): 1,
        ("S64GNE0R000001", "nvme0", "physical_disk", "predicted_failure"): 0,
    }
    assert sizes(reading) == {("nvme0", "SSD"): 1920383410176}
    assert list(values(reading, "hw.temperature").values()) == [34]
    [left] = values(reading, "hw.physical_disk.endurance_utilization").values()
    assert left == pytest.approx(0.93)
    assert smart(reading) == {
        ("nvme0", "Power-On Hours"): 12950,
        ("nvme0", "Power Cycle Count"): 22,
        ("nvme0", "Critical Warning"): 0,
        ("nvme0", "Available Spare"): 98,
        ("nvme0", "Available Spare Threshold"): 10,
        ("nvme0", "Percentage Used"): 7,
        ("nvme0", "Media and Data Integrity Errors"): 2,
        ("nvme0", "Error Log Entries"): 5,
        ("nvme0", "Unsafe Shutdowns"): 19,
    }


def test_a_sas_disk_behind_a_raid_controller(reading: Reading) -> None:
    add_disks(reading, [disk(SAS)])

    assert values(reading, "hw.status") == {
        ("WFK00001", "bus/0 megaraid,8", "physical_disk", "ok"): 1,
        ("WFK00001", "bus/0 megaraid,8", "physical_disk", "predicted_failure"): 0,
    }
    assert sizes(reading) == {("bus/0 megaraid,8", "HDD"): 1200243695616}
    assert list(values(reading, "hw.temperature").values()) == [31]
    assert values(reading, "hw.physical_disk.endurance_utilization") == {}
    assert smart(reading) == {
        ("bus/0 megaraid,8", "Power-On Hours"): 20111,
        ("bus/0 megaraid,8", "Reallocated Sectors Count"): 4,
        ("bus/0 megaraid,8", "Uncorrected Read Errors"): 6,
        ("bus/0 megaraid,8", "Uncorrected Write Errors"): 0,
    }


def test_every_sample_is_as_the_contract_says(reading: Reading) -> None:
    add_disks(reading, [disk(report) for report in (ATA, NVME, SAS)])

    for sample in reading.samples:
        assert set(sample.attributes) == set(BY_NAME[sample.metric.name].attributes)
    assert reading.samples[0].attributes == {
        "hw.id": "WD-WCC7K0000001",
        "hw.name": "sda",
        "hw.physical_disk.type": "HDD",
        "hw.model": "WDC WD40EFRX-68N32N0",
        "hw.serial_number": "WD-WCC7K0000001",
        "hw.firmware_version": "82.00A82",
    }


def test_a_disk_that_sleeps_is_left_alone_and_out(reading: Reading) -> None:
    add_disks(reading, [disk(ASLEEP)])
    assert reading.samples == []


def test_two_paths_to_one_disk_are_two_series(reading: Reading) -> None:
    add_disks(reading, [disk(ATA), {**disk(ATA), "name": "/dev/sdz"}])
    assert {key[0] for key in values(reading, "hw.status")} == {
        "WD-WCC7K0000001",
        "WD-WCC7K0000001 sdz",
    }


def test_names_from_firmware_are_short_and_printable(reading: Reading) -> None:
    evil = {**ATA, "serial_number": "\x1b[2J" + "x" * 10_000, "model_name": "a\nb\u202ec\ud800"}
    add_disks(reading, [disk(evil)])

    attributes = reading.samples[0].attributes
    assert attributes["hw.serial_number"] == "[2J" + "x" * 61
    assert attributes["hw.model"] == "abc"


@pytest.mark.parametrize("value", [2**63, -1, True, 1.5, float("nan"), "7", None, [7]])
def test_what_is_no_count_is_absent(reading: Reading, value: Any) -> None:
    row = {"id": 5, "raw": {"value": value}}
    odd = {"power_cycle_count": value, "ata_smart_attributes": {"table": [row]}}
    add_disks(reading, [disk({**ATA, **odd, "temperature": {"current": value}})])

    assert smart(reading) == {("sda", "Power-On Hours"): 41234}
    degrees = {-1.0} if value == -1 else set()
    assert set(values(reading, "hw.temperature").values()) == degrees


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*ATA, *NVME, *SAS, "passed", "table", "id", "raw"]), inner
        )
    ),
    max_leaves=8,
)


def changed(report: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    parts = {key: st.just(value) | ANYTHING for key, value in report.items()}
    return st.fixed_dictionaries(parts)


@given(st.sampled_from([ATA, NVME, SAS]).flatmap(changed) | ANYTHING)
def test_whatever_a_disk_says_can_be_sent(report: Any) -> None:
    reading = Reading(MACHINE.resource, time.time_ns())

    add_disks(reading, [{"name": "/dev/sda", "type": "sat", "report": report}])

    assert len(reading.samples) < 40
    for sample in reading.samples:
        assert 0 <= sample.value < 2**63 or sample.metric.name == "hw.temperature"
        assert all(isinstance(v, str) and len(v) <= 80 for v in sample.attributes.values())
    Encoder("1").encode([reading])
