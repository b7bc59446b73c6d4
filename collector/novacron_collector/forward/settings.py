"""The tables [[forward]] of collector.toml: where to, how, and what of it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from novacron_contract.settings import setting
from novacron_otlp.settings import METRICS_PATH, ClientSettings, otlp_url


@dataclass(frozen=True, kw_only=True)
class ForwardSettings(ClientSettings):
    """One destination. `metrics`, `exclude_metrics` and the values of `where` are globs."""

    url: str = setting(check=otlp_url)
    queue_size: float = setting("1GiB", unit="By", minimum=16 * 2**20)
    queue_age: float = setting("72h", unit="s", minimum=1)
    metrics: tuple[str, ...] = ()
    exclude_metrics: tuple[str, ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """A path is taken as it is: not every backend's ends as OTLP's own."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme.startswith("grpc") or parts.path.strip("/"):
            return self.url
        return parts._replace(path=METRICS_PATH).geturl()
