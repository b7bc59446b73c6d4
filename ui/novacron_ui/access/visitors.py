"""Who a credential belongs to, as the collector says, remembered for a moment."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from novacron_contract.access import Grant, Permission, Principal, PrincipalKind, Role, scope
from novacron_contract.errors import BadMessage, Unavailable
from novacron_store.state.credentials import digest
from novacron_ui.collector import Collector, Reply

FOR_S = 1.0  # a session that is revoked loses the page a second later
AWAY_S = 300.0  # who was let in stays so, while the collector is away that long
MOST = 4096

VISITOR: ContextVar[Principal | None] = ContextVar("visitor", default=None)  # of this request


@dataclass(slots=True)
class _Known:
    """None: nobody, or not any more. `confirmed`: when the collector said so."""

    principal: Principal | None
    confirmed: float
    asked: float


@dataclass(eq=False)
class Visitors:
    collector: Collector
    clock: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict)
    _asking: dict[str, asyncio.Task[Principal | None]] = field(default_factory=dict)

    async def who(self, credential: str | None) -> Principal | None:
        """Whom the collector lets in with it; None: nobody.

        Raises:
            Unavailable: the collector does not answer, and has not for long.
        """
        key = "" if credential is None else digest(credential)
        known = self._known.get(key)
        if known is not None and self.clock() < known.asked + FOR_S:
            return known.principal
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, credential))
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(asking)

    def forget(self, credential: str) -> None:
        self._known.pop(digest(credential), None)

    async def _ask(self, key: str, credential: str | None) -> Principal | None:
        asked = self.clock()
        try:
            principal = _read(await self.collector.ask("GET", "/v1/self", credential))
        except Unavailable:
            return self._as_before(key, credential, asked)
        self._keep(key, _Known(principal, asked, asked))
        return principal

    def _as_before(self, key: str, credential: str | None, asked: float) -> Principal | None:
        """While nobody can tell. Whether anonymous ones may read is no person's right: it can
        change only when the collector comes back."""
        known = self._known.get(key)
        if known is None or (credential is not None and asked > known.confirmed + AWAY_S):
            raise Unavailable(
                f"the collector at {self.collector.url} does not answer, and it alone knows who "
                "may see this: check that novacron-collector runs"
            )
        known.asked = asked
        return known.principal

    def _keep(self, key: str, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > MOST:
            self._known.popitem(last=False)


def permissions(principal: Principal) -> list[Permission]:
    """Those that the visitor has within some scope."""
    given = frozenset[Permission]().union(*(of.role.permissions for of in principal.grants))
    if principal.limit is not None:
        given &= frozenset().union(*(of.role.permissions for of in principal.limit))
    return [of for of in Permission if of in given]


def _read(reply: Reply) -> Principal | None:
    """
    Raises:
        Unavailable: this is no answer of a collector.
    """
    if reply.status in (401, 403):
        return None
    match reply.json():
        case {"kind": str(kind), "name": str(name), "grants": [*grants], "limit": limit} if (
            reply.status == 200
        ):
            try:
                bounds = None if limit is None else tuple(map(_grant, limit))
                given = tuple(map(_grant, grants))
                return Principal(PrincipalKind(kind), "", name, given, bounds)
            except (ValueError, TypeError, BadMessage) as err:
                raise Unavailable(f"the collector's answer is not understood: {err}") from err
    raise Unavailable(f"the collector answered {reply.status} to who somebody is")


def _grant(raw: Any) -> Grant:
    match raw:
        case {"role": str(role), "scope": str(within)}:
            return Grant(Role(role), scope(within))
    raise ValueError("no grant")
