"""What smartctl 7.3 prints of three disks, shortened.

Written by hand after smartctl's own JSON, not recorded: the machines the tests run on have no such
disks.
"""

from __future__ import annotations

from typing import Any

HEAD = {
    "json_format_version": [1, 0],
    "smartctl": {"version": [7, 3], "svn_revision": "5338", "exit_status": 0},
    "local_time": {"time_t": 1796071059, "asctime": "Mon Nov 30 20:37:39 2026 UTC"},
}


def row(number: int, name: str, raw: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "name": name,
        "value": 100,
        "worst": 100,
        "thresh": 10,
        "when_failed": "",
        "flags": {"value": 51, "string": "PO--CK ", "prefailure": True},
        "raw": {"value": raw, "string": text},
    }


ATA = {
    **HEAD,
    "device": {"name": "/dev/sda", "info_name": "/dev/sda [SAT]", "type": "sat", "protocol": "ATA"},
    "model_family": "Western Digital Red",
    "model_name": "WDC WD40EFRX-68N32N0",
    "serial_number": "WD-WCC7K0000001",
    "wwn": {"naa": 5, "oui": 5358, "id": 9000000001},
    "firmware_version": "82.00A82",
    "user_capacity": {"blocks": 7814037168, "bytes": 4000787030016},
    "rotation_rate": 5400,
    "smart_status": {"passed": False},
    "ata_smart_attributes": {
        "revision": 16,
        "table": [
            row(1, "Raw_Read_Error_Rate", 3, "3"),
            row(5, "Reallocated_Sector_Ct", 8 << 16 | 12, "12 (0 8)"),
            row(9, "Power_On_Hours", 41234, "41234"),
            row(194, "Temperature_Celsius", 39, "39"),
            row(197, "Current_Pending_Sector", 3, "3"),
            row(199, "UDMA_CRC_Error_Count", 0, "0"),
        ],
    },
    "power_on_time": {"hours": 41234},
    "power_cycle_count": 57,
    "temperature": {"current": 39},
}

NVME = {
    **HEAD,
    "device": {"name": "/dev/nvme0", "info_name": "/dev/nvme0", "type": "nvme", "protocol": "NVMe"},
    "model_name": "SAMSUNG MZQL21T9HCJR-00A07",
    "serial_number": "S64GNE0R000001",
    "firmware_version": "GDC5602Q",
    "nvme_total_capacity": 1920383410176,
    "nvme_unallocated_capacity": 0,
    "smart_status": {"passed": True, "nvme": {"value": 0}},
    "nvme_smart_health_information_log": {
        "critical_warning": 0,
        "temperature": 34,
        "available_spare": 98,
        "available_spare_threshold": 10,
        "percentage_used": 7,
        "data_units_read": 180246471,
        "data_units_written": 85848679,
        "host_reads": 2461021399,
        "host_writes": 1901412337,
        "controller_busy_time": 3108,
        "power_cycles": 22,
        "power_on_hours": 12950,
        "unsafe_shutdowns": 19,
        "media_errors": 2,
        "num_err_log_entries": 5,
        "warning_temp_time": 0,
        "critical_comp_time": 0,
        "temperature_sensors": [34, 45],
    },
    "temperature": {"current": 34},
    "power_cycle_count": 22,
    "power_on_time": {"hours": 12950},
}

SAS = {
    **HEAD,
    "device": {
        "name": "/dev/bus/0",
        "info_name": "/dev/bus/0 [megaraid_disk_08]",
        "type": "megaraid,8",
        "protocol": "SCSI",
    },
    "scsi_vendor": "SEAGATE",
    "scsi_product": "ST1200MM0009",
    "scsi_model_name": "SEAGATE ST1200MM0009",
    "scsi_revision": "N004",
    "user_capacity": {"blocks": 2344225968, "bytes": 1200243695616},
    "rotation_rate": 10500,
    "serial_number": "WFK00001",
    "smart_status": {"passed": True},
    "temperature": {"current": 31, "drive_trip": 60},
    "power_on_time": {"hours": 20111, "minutes": 12},
    "scsi_grown_defect_list": 4,
    "scsi_error_counter_log": {
        operation: {
            "errors_corrected_by_eccfast": 0,
            "errors_corrected_by_eccdelayed": 0,
            "errors_corrected_by_rereads_rewrites": 0,
            "total_errors_corrected": 0,
            "correction_algorithm_invocations": 0,
            "gigabytes_processed": "12000.000",
            "total_uncorrected_errors": uncorrected,
        }
        for operation, uncorrected in (("read", 6), ("write", 0))
    },
}

ASLEEP = {
    "json_format_version": [1, 0],
    "smartctl": {
        "version": [7, 3],
        "messages": [
            {"string": "Device is in STANDBY mode, exit(2)", "severity": "information"},
        ],
        "exit_status": 2,
    },
    "device": {"name": "/dev/sdb", "info_name": "/dev/sdb [SAT]", "type": "sat", "protocol": "ATA"},
}

SCAN = {**HEAD, "devices": [disk["device"] for disk in (ATA, NVME, SAS, ASLEEP)]}
