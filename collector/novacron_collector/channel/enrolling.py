"""What administrators have in hand: identities, join tokens, and tokens of other senders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from novacron_contract.errors import BadMessage, ConfigError
from novacron_contract.names import plain_name, server_name
from novacron_contract.settings import host_port
from novacron_store.state.identities import Identities
from novacron_store.state.ingest_tokens import IngestTokens
from novacron_store.state.join_tokens import JoinTokens


@dataclass(frozen=True)
class Enrolling:
    """`pin` is of our authority; `address`: HOST:PORT that agents are told to connect to, "" where
    nobody said it; `names`: of the certificate that is shown there."""

    identities: Identities
    join_tokens: JoinTokens
    ingest_tokens: IngestTokens
    pin: str
    address: str
    names: tuple[str, ...]
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    def line(self, secret: str, address: str) -> str:
        """What is given to `novacron-agent join`."""
        return f"https://{address}#{self.pin}:{secret}"

    def address_of(self, wanted: str | None) -> str:
        """
        Raises:
            BadMessage: nobody said where hosts reach this collector, or agents would not trust it.
        """
        address = wanted or self.address
        if not address:
            raise BadMessage(
                "address: say where hosts reach this collector, as HOST:8441, here or in "
                "[enrolment] address of collector.toml"
            )
        try:
            host, _ = host_port(address)
            name = plain_name(server_name(host))
        except ConfigError as err:
            raise BadMessage(f"address: {err}") from err
        if name not in self.names:
            raise BadMessage(
                f"address: the collector's certificate is not made out to {host}: add it to "
                "[tls] names of collector.toml, and restart the collector"
            )
        return address
