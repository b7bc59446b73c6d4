"""What agents ask of commands: the next ones, and to take what became of them."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from novacron_collector.channel.app import answer, read_json
from novacron_collector.channel.caller import caller, saw_instance, while_allowed
from novacron_collector.commands.engine import Commands
from novacron_contract.commands import MAX_DETAIL, Report, State, Verb, report
from novacron_contract.errors import BadMessage
from novacron_store.state.commands import About, Asking, Entered, Said

MAX_WAIT_S = 60.0
MAX_ORDERS = 100
MAX_REPORTS = 100
MAX_EVENTS = 256 * 1024  # bytes
MAX_JOURNAL = 1024 * 1024
MAX_ENTRIES = 5000
_MAX_HELLO = 16 * 1024
_MAX_TEXT = 200
_MAX_VERBS = 200
_INSTANCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def routes(commands: Commands) -> list[Route]:
    async def hello(request: Request) -> Response:
        about = _about(await read_json(request, _MAX_HELLO))
        me = await caller(request.scope)
        await _saw(commands, request, about.instance)
        await asyncio.to_thread(commands.journals.describe, me.agent_id, about, commands.now())
        known = [verb.value for verb in Verb]
        return answer({"server_time": datetime.now(UTC), "verbs_known": known})

    async def poll(request: Request) -> Response:
        asking, wait_s = _asking(request)
        me = await caller(request.scope)
        await _saw(commands, request, asking.instance)
        waiting = commands.polls.wait(me.agent_id, asking, wait_s)
        told = await while_allowed(request.scope, waiting)
        orders = [order.as_json() for order in told.orders]
        return answer({"orders": orders, "cancelled": list(told.cancelled)})

    async def events(request: Request) -> Response:
        instance, raw = _reports(await read_json(request, MAX_EVENTS))
        me = await caller(request.scope)
        await _saw(commands, request, instance)
        taken = await commands.take(Said(me.agent_id, raw))
        pairs = [{"command_id": key, "number": number} for key, number in taken.taken]
        return answer({"taken": pairs, "unknown": list(taken.unknown)})

    async def journal(request: Request) -> Response:
        instance, entries = _entries(await read_json(request, MAX_JOURNAL))
        me = await caller(request.scope)
        await _saw(commands, request, instance)
        compare = commands.journals.compare
        await asyncio.to_thread(compare, me.agent_id, entries, commands.now())
        return answer({})

    base = "/v1/agents/self"
    return [
        Route(f"{base}/hello", hello, methods=["POST"]),
        Route(f"{base}/commands", poll, methods=["GET"]),
        Route(f"{base}/events", events, methods=["POST"]),
        Route(f"{base}/journal", journal, methods=["POST"]),
    ]


async def _saw(commands: Commands, request: Request, instance: str) -> None:
    """Who comes with another journal than before has something to lose: a round sees to it."""
    if (await saw_instance(request.scope, instance)).is_new:
        commands.polls.wake([(await caller(request.scope)).agent_id])


def _asking(request: Request) -> tuple[Asking, float]:
    query = request.query_params
    for name in query:
        if name not in ("wait", "max", "instance"):
            raise BadMessage(f"{name[:60]}: unknown; allowed: wait, max, instance")
    wait_s = _number(query.get("wait", "25"), "wait", MAX_WAIT_S)
    most = int(_number(query.get("max", "5"), "max", MAX_ORDERS))
    return Asking(_instance(query.get("instance")), max(most, 1)), wait_s


def _number(text: str, name: str, most: float) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or float(text) > most:
        raise BadMessage(f"{name}: expected 0 to {most:g}")
    return float(text)


def _instance(raw: Any) -> str:
    if not isinstance(raw, str) or not _INSTANCE.fullmatch(raw):
        raise BadMessage("instance: expected the UUID of the agent's journal")
    return str(uuid.UUID(raw))


def _about(body: Any) -> About:
    match body:
        case {
            "instance": instance,
            "version": str(version),
            "boot_id": str(boot_id),
            "verbs": list(verbs),
            "provider": str(provider),
        } if len(verbs) <= _MAX_VERBS and all(_is_short(one) for one in verbs):
            texts = {"version": version, "boot_id": boot_id, "provider": provider}
            if all(map(_is_short, texts.values())):
                return About(instance=_instance(instance), verbs=tuple(verbs), **texts)
    raise BadMessage("expected instance, version, boot_id, verbs, provider")


def _is_short(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= _MAX_TEXT


def _reports(body: Any) -> tuple[str, tuple[Report, ...]]:
    match body:
        case {"instance": instance, "reports": list(raw)} if len(raw) <= MAX_REPORTS:
            return _instance(instance), tuple(map(_report, raw))
    raise BadMessage(f"expected instance and reports, {MAX_REPORTS} or fewer")


def _report(raw: Any) -> Report:
    parsed = report(raw)
    if len(orjson.dumps(parsed.detail)) > MAX_DETAIL:
        raise BadMessage(f"detail: more than {MAX_DETAIL} bytes")
    return parsed


def _entries(body: Any) -> tuple[str, Sequence[Entered]]:
    match body:
        case {"instance": instance, "entries": list(raw)} if len(raw) <= MAX_ENTRIES:
            return _instance(instance), [_entry(one) for one in raw]
    raise BadMessage(f"expected instance and entries, {MAX_ENTRIES} or fewer")


def _entry(raw: Any) -> Entered:
    match raw:
        case {"command_id": str(command_id), "state": str(state)} if _INSTANCE.fullmatch(
            command_id
        ) and state in tuple(State):
            return Entered(command_id, State(state))
    raise BadMessage("entries: expected command_id, verb, vm_id and state of each")
