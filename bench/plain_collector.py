"""A collector whose agents' port speaks without TLS and believes whoever says which agent it is:
for the memory that TLS takes, and for nothing else. python plain_collector.py --config FILE"""

from __future__ import annotations

import sys
import time
import uuid

from starlette.types import Receive, Scope, Send

from novacron_collector.channel.app import Channel
from novacron_collector.channel.peer import PEER, Peer
from novacron_collector.cli import main
from novacron_collector.tls.listeners import Tls

HEADER = b"x-agent"
_answer = Channel.__call__


async def believe(channel: Channel, scope: Scope, receive: Receive, send: Send) -> None:
    agent = dict(scope["headers"]).get(HEADER, b"").decode()
    scope[PEER] = Peer(agent, f"{uuid.UUID(agent).int:x}", time.time() + 3600)
    await _answer(channel, scope, receive, send)


if __name__ == "__main__":
    Tls.for_agents = lambda _tls: None  # type: ignore[method-assign,assignment,return-value]
    Channel.__call__ = believe  # type: ignore[method-assign,assignment]
    sys.exit(main())
