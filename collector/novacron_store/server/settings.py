"""What store.toml may say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from novacron_contract.listening import loopback_address
from novacron_contract.settings import setting


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """The table [store]."""

    path: Path = setting(doc="the data folder; one novacron-store at a time works in it")
    listen: str = setting(
        "127.0.0.1:8123", check=loopback_address, doc="HOST:PORT of the HTTP interface"
    )
    service_password_file: Path = setting(doc="the password of our own components")
    reader_password_file: Path = setting(doc="the password people query with")
    memory: float = setting("4GiB", unit="By", minimum=512 * 1024**2, doc="of the whole engine")
    keep_free: float = setting(
        "512MiB", unit="By", minimum=0, doc="of the disk: below it nothing is written or merged"
    )
    max_body: float = setting("256MiB", unit="By", minimum=1024**2, doc="of one request, inflated")
    max_queries: int = setting(16, minimum=1, maximum=256, doc="of our components, at one time")


@dataclass(frozen=True, kw_only=True)
class ReaderLimits:
    """The table [limits]: what one query of a reader may cost."""

    time: float = setting("30s", unit="s", minimum=1, maximum=3600)
    rows: int = setting(1_000_000_000, minimum=1, doc="rows read")
    bytes: float = setting("64GiB", unit="By", minimum=1, doc="bytes read, uncompressed")
    memory: float = setting("1GiB", unit="By", minimum=16 * 1024**2)
    result_rows: int = setting(1_000_000, minimum=1)
    result_bytes: float = setting("128MiB", unit="By", minimum=1024)
    threads: int = setting(2, minimum=1, maximum=64)
    queries: int = setting(4, minimum=1, maximum=64, doc="of all readers, at one time")


@dataclass(frozen=True, kw_only=True)
class Settings:
    store: StoreSettings
    limits: ReaderLimits = field(default_factory=ReaderLimits)
