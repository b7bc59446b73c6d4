"""The collector as the web UI sees it: the real users, sessions and rights, a live feed, and orders
whose progress a test tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from a2wsgi import WSGIMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp
from starlette.websockets import WebSocket
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from command_world import commands_of
from enrolments import enrolment_of
from live_feed import LiveFeed
from novacron_collector.access.access import Access
from novacron_collector.api.app import create_app
from novacron_collector.api.services import Services
from novacron_contract.access import FLEET, SYSTEM, Grant, Permission, Role, Target, scope
from novacron_contract.commands import VERBS, State, Verb
from novacron_contract.errors import NovaCronError
from novacron_store.state import Agents, Caller, Inventory, Users, Vm
from principals import access_of
from ui_world import World

PASSWORD = "correct horse battery staple"
_FINAL = {state.value for state in State if state.is_final}


@dataclass(eq=False)
class UiCollector(LiveFeed):
    """`states` of VMs are what a plan tells; `problems` why a VM cannot be ordered anything."""

    world: World = field(kw_only=True)
    anonymous: bool = True
    states: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    commands: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    held: int = 0
    access: Access = field(init=False)

    def __post_init__(self) -> None:
        self.access = access_of(self.world.state, anonymous=self.anonymous)
        self._changed = asyncio.Event()

    def add_user(self, name: str, role: Role, within: str = "fleet") -> None:
        password = self.access.login.hashed(PASSWORD)
        grants = (Grant(role, scope(within)),)
        Users(self.world.state).add(name, password, grants, Caller(SYSTEM))

    def report(self, vm_id: str, state: State, **told: Any) -> None:
        """Of the newest order to this VM: `share`, `text`, `error`."""
        asyncio.run_coroutine_threadsafe(self._report(vm_id, state, told), self._loop).result(5)

    def routes(self) -> Sequence[BaseRoute]:
        services = Services(
            inventory=Inventory(self.world.state),
            agents=Agents(self.world.state),
            access=self.access,
            enrolment=enrolment_of(self.world.state),
            commands=commands_of(self.world.state, self.access),
            telemetry=_nothing,
            reader=_nothing,
            version="0.1.0",
            started=datetime.now(UTC),
        )
        flask: Any = create_app(services)
        wsgi = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, WSGIMiddleware(flask))))
        return [
            *self.feed_routes(),
            Route("/v1/operations", self._answer(self._create), methods=["POST"]),
            Route("/v1/operations", self._answer(self._listed)),
            Route("/v1/operations/{id}", self._answer(self._one)),
            Route("/v1/operations/{id}/cancel", self._answer(self._cancel), methods=["POST"]),
            Route("/v1/commands", self._answer(self._commands)),
            Mount("/", wsgi),
        ]

    async def _live(self, client: WebSocket) -> None:
        try:
            await asyncio.to_thread(self._let_in, client.headers.get("authorization"))
        except NovaCronError as err:
            await client.send_denial_response(JSONResponse({}, err.status))
            return
        await super()._live(client)

    def _let_in(self, authorization: str | None) -> None:
        caller = self.access.caller(authorization, "127.0.0.1")
        self.access.require(caller, Permission.READ)

    def _answer(self, view: Callable[[Request, Caller], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                authorization = request.headers.get("authorization")
                caller = await asyncio.to_thread(self.access.caller, authorization, "127.0.0.1")
                return JSONResponse(*await view(request, caller))
            except NovaCronError as err:
                return JSONResponse({"error": type(err).__name__, "message": str(err)}, err.status)

        return answer

    async def _create(self, request: Request, caller: Caller) -> tuple[Any, int]:
        body = await request.json()
        find = self.world.inventory.vm
        vms = [await asyncio.to_thread(find, vm) for vm in body["targets"]["vms"]]
        permission = VERBS[Verb(body["verb"])].permission
        for target in [Target(vm.host_id, vm.id, vm.resource) for vm in vms] or [FLEET]:
            await asyncio.to_thread(self.access.require, caller, permission, target)
        if body.get("dry_run"):
            return self._plan(body, vms), 200
        key = request.headers.get("idempotency-key", "")
        if key in self.keys:
            return self.operations[self.keys[key]], 200
        self.asked.append(body)
        return self._begin(body, vms, caller, key), 201

    def _plan(self, body: Mapping[str, Any], vms: Sequence[Vm]) -> dict[str, Any]:
        spec = VERBS[Verb(body["verb"])]
        rows = [
            {
                "id": vm.id,
                "name": vm.name,
                "host": {"id": vm.host_id, "name": f"host-{vm.host_id[:4]}"},
                "state": self.states.get(vm.id),
                "sensible": (state := self.states.get(vm.id)) and state in spec.sensible_in,
                "problem": self.problems.get(vm.id),
            }
            for vm in vms
        ]
        return {"dry_run": True, "total": len(vms), "destructive": False, "vms": rows}

    def _begin(
        self, body: Mapping[str, Any], vms: Sequence[Vm], caller: Caller, key: str
    ) -> dict[str, Any]:
        operation, now = str(uuid4()), datetime.now(UTC).isoformat()
        step = {"verb": body["verb"], "arguments": body.get("arguments", {}), "undo": None}
        for vm in vms:
            command = _command(operation, vm, step, now)
            self.commands[command["id"]] = command
        self.operations[operation] = made = {
            "id": operation,
            "state": "running",
            "version": 1,
            "total": len(vms),
            "ended": 0,
            "succeeded": 0,
            "failures": 0,
            "issuer": caller.principal.name,
            "source": caller.source,
            "schedule": None,
            "created": now,
            "finished": None,
            "reason": body.get("reason", ""),
            "problem": "",
            "steps": [step],
            "targets": body["targets"],
            "expect": [],
            "commands": {"queued": len(vms)},
        }
        self.keys[key] = operation
        self._wake()
        return made

    async def _listed(self, request: Request, _caller: Caller) -> tuple[Any]:
        state = request.query_params.get("state")
        found = [of for of in self.operations.values() if state in (None, of["state"])][::-1]
        limit = int(request.query_params.get("limit", "500"))
        return ({"operations": found[:limit], "total": len(found), "limit": limit, "offset": 0},)

    async def _one(self, request: Request, _caller: Caller) -> tuple[Any, int]:
        wait = float(request.query_params.get("wait", "0"))
        operation = self.operations.get(request.path_params["id"])
        if operation is None:
            return {"error": "NotFound", "message": "no operation has this id"}, 404
        known = request.query_params.get("after")
        self.held += 1
        gone = asyncio.create_task(_gone(request))
        changed = asyncio.create_task(self._differs(operation, known if wait else None))
        try:
            await asyncio.wait((gone, changed), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.held -= 1
            gone.cancel()
            changed.cancel()
        return operation, 200

    async def _differs(self, operation: Mapping[str, Any], known: str | None) -> None:
        while str(operation["version"]) == known:
            await self._changed.wait()

    async def _cancel(self, request: Request, caller: Caller) -> tuple[Any]:
        await asyncio.to_thread(self.access.require, caller, Permission.VM_POWER)
        operation = self.operations[request.path_params["id"]]
        for command in self._of(operation["id"]):
            if command["state"] == "queued":
                command |= {"state": "cancelled", "ended": datetime.now(UTC).isoformat()}
        self._count(operation)
        return (operation,)

    async def _commands(self, request: Request, _caller: Caller) -> tuple[Any]:
        asked = request.query_params
        found = [
            command
            for command in self.commands.values()
            if asked.get("operation") in (None, command["operation"])
            and asked.get("vm") in (None, command["vm"]["id"])
            and asked.get("state") in (None, command["state"])
        ][::-1]
        limit = int(asked.get("limit", "500"))
        return ({"commands": found[:limit], "total": len(found), "limit": limit, "offset": 0},)

    async def _report(self, vm_id: str, state: State, told: Mapping[str, Any]) -> None:
        command = [of for of in self.commands.values() if of["vm"]["id"] == vm_id][-1]
        now = datetime.now(UTC).isoformat()
        command |= {"state": state.value, **told}
        command["begun"] = command["begun"] or (now if state is State.RUNNING else None)
        command["ended"] = now if state.is_final else None
        self._count(self.operations[command["operation"]])

    def _count(self, operation: dict[str, Any]) -> None:
        counts = Counter(command["state"] for command in self._of(operation["id"]))
        ended = sum(counts[state] for state in _FINAL)
        done = counts["succeeded"]
        operation |= {"ended": ended, "succeeded": done, "failures": ended - done}
        operation |= {"version": operation["version"] + 1, "commands": dict(counts)}
        if ended == operation["total"]:
            stage = (
                "cancelled" if counts["cancelled"] else "succeeded" if done == ended else "failed"
            )
            operation |= {"state": stage, "finished": datetime.now(UTC).isoformat()}
        self._wake()

    def _of(self, operation: str) -> list[dict[str, Any]]:
        return [of for of in self.commands.values() if of["operation"] == operation]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _command(operation: str, vm: Vm, step: Mapping[str, Any], now: str) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "operation": operation,
        "step": 0,
        "undoes": False,
        "vm": {"id": vm.id, "name": vm.name},
        "host": vm.host_id,
        "verb": step["verb"],
        "arguments": step["arguments"],
        "state": "queued",
        "share": None,
        "text": "",
        "error": "",
        "cancelling": False,
        "created": now,
        "begun": None,
        "ended": None,
    }


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _nothing() -> Any:
    raise AssertionError("no page asks the collector for telemetry")
