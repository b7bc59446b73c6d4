"""`novacron-collector --prepare`: what it would make at its start, made before."""

from __future__ import annotations

from pathlib import Path

from novacron_collector.settings import Settings
from novacron_collector.tls.making import make_tls
from novacron_contract.errors import ConfigError
from novacron_store.state import migrate, open_state


def prepare(settings: Settings, config: Path) -> None:
    """Harmless at any time, also while the collector runs: it takes up the certificate.

    Raises:
        ConfigError: with these settings it could not start.
        Unavailable: the state database does not answer.
    """
    try:
        state = open_state(settings.state.url)
        try:
            migrate(state)
            tls = make_tls(settings)
        finally:
            state.dispose()
        tls.own.keep()
        for address in (settings.listen.api, settings.listen.otlp_http):
            tls.for_listener(address)
    except ConfigError as err:
        raise ConfigError(f"{config}: {err}") from err
