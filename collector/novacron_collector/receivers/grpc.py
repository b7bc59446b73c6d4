"""OTLP over gRPC: MetricsService/Export. Bodies stay bytes: the decoder reads them, not gRPC."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.code_pb2 import Code

from novacron_collector.receivers.answers import response, status
from novacron_collector.receivers.door import OPEN, Door
from novacron_collector.receivers.intake import Intake
from novacron_contract.errors import ConfigError, NovaCronError, Unavailable
from novacron_contract.metrics import SENT_AT_HEADER

log = logging.getLogger(__name__)

SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
_HANDSHAKE_MS = 20_000
_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a message and of a request's metadata, requests and connections at a time, seconds
    a connection may be without a request."""

    message: int
    requests: int
    connections: int
    idle_s: float
    metadata: int = 64 * 1024


async def start(
    intake: Intake,
    address: str,
    limits: Limits,
    door: Door = OPEN,
    credentials: Any = None,
) -> Any:
    """A server that listens on `address`; the caller stops it. `credentials`: gRPC's, for TLS.

    Raises:
        ConfigError: it cannot listen there.
    """
    server = grpc.aio.server(maximum_concurrent_rpcs=limits.requests, options=_options(limits))
    server.add_generic_rpc_handlers((_handlers(intake, door),))
    try:
        if credentials is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, credentials)
    except RuntimeError as err:
        raise ConfigError(f"cannot listen on {address}: {err}") from err
    await server.start()
    return server


def _options(limits: Limits) -> list[tuple[str, int]]:
    idle_ms = int(limits.idle_s * 1000)
    return [
        ("grpc.max_receive_message_length", limits.message),
        ("grpc.so_reuseport", 0),  # a port in use is an error, and not shared in silence
        ("grpc.max_metadata_size", limits.metadata),
        ("grpc.absolute_max_metadata_size", limits.metadata),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", min(idle_ms, _HANDSHAKE_MS)),
        ("grpc.max_connection_idle_ms", idle_ms),
        ("grpc.keepalive_time_ms", idle_ms),  # a peer that is gone is found out
        ("grpc.keepalive_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]


def _handlers(intake: Intake, door: Door) -> Any:
    async def export(body: bytes, context: Any) -> bytes:
        told = dict(context.invocation_metadata() or ())
        sent_at = told.get(SENT_AT_HEADER.lower())
        try:
            door.check(told.get("authorization"))
            with intake.room.enter() as place:
                place.grow(len(body))
                outcome = await intake.protobuf(body, sent_at)
        except NovaCronError as err:
            intake.refusals.add(err)
            await _abort(context, err)
        except asyncio.CancelledError:
            raise
        except Exception:  # the outermost edge of one request
            log.exception("an OTLP request failed")
            failure = Unavailable("the collector failed; its log has the details")
            intake.refusals.add(failure)
            await _abort(context, failure)
        return bytes(response(outcome).SerializeToString())

    # Without serializers gRPC hands over bytes and takes bytes.
    return grpc.method_handlers_generic_handler(
        SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)}
    )


async def _abort(context: Any, err: NovaCronError) -> None:
    answer = status(err)
    context.set_trailing_metadata(((_DETAILS, answer.SerializeToString()),))
    code = _CODES.get(answer.code, _CODES[Code.UNAVAILABLE])
    await context.abort(code, answer.message)
