"""The authority, our certificate and the TLS of the listeners, made from the settings."""

from __future__ import annotations

from novacron_collector.settings import Settings
from novacron_collector.tls.authority import open_authority
from novacron_collector.tls.certificates import OwnCertificate
from novacron_collector.tls.listeners import Tls
from novacron_contract.names import own_names
from novacron_contract.settings import host_port


def make_tls(settings: Settings) -> Tls:
    """
    Raises:
        ConfigError: the authority or a certificate cannot be used.
    """
    listen = settings.listen
    named = [*settings.tls.names]
    if settings.enrolment.address:
        named.append(host_port(settings.enrolment.address)[0])
    names = own_names(named, (listen.agents, listen.api, listen.otlp_http, listen.otlp_grpc))
    return Tls(settings.tls, OwnCertificate(open_authority(settings.authority), names))
