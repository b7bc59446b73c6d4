"""GET metrics as a table for analytics: a Parquet file, an Arrow stream or CSV."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing
from threading import BoundedSemaphore
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from flask import Blueprint, Response

from novacron_collector.api import parameters
from novacron_collector.api.guard import needs
from novacron_collector.api.handover import handed_over
from novacron_collector.api.series import handy_step
from novacron_collector.api.services import Services
from novacron_contract.access import Permission
from novacron_contract.comparisons import comparison
from novacron_contract.errors import BadMessage, Unavailable
from novacron_contract.units import seconds
from novacron_store.telemetry.builder import All, Label, Over
from novacron_store.telemetry.export import Export, Exported, exported

POINTS = 500
MAX_METRICS, MAX_CONDITIONS, MAX_TAGS = 200, 50, 50
MOST_AT_ONCE = 3  # of the API's threads; each may hold some hundred MB
TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
    "csv": "text/csv; charset=utf-8",
}
RAW = "raw"
_ONCE = ("from", "to", "step", "over", "share", "format")
_REPEATABLE = ("metric", "where", "tag")


def blueprint(services: Services) -> Blueprint:
    bp = Blueprint("export", __name__, url_prefix="/v1/export")
    places = BoundedSemaphore(MOST_AT_ONCE)

    @bp.get("")
    @needs(Permission.READ)
    def export() -> Response:
        parameters.allow(_ONCE, repeatable=_REPEATABLE)
        form = parameters.choice("format", list(TYPES)) or "parquet"
        asked = _asked(services)
        if not places.acquire(blocking=False):
            raise Unavailable(f"{MOST_AT_ONCE} exports are made already: try again soon")
        with ExitStack() as stack:
            stack.callback(places.release)
            found = exported(services.telemetry(), asked, services.index)
            place = stack.pop_all()  # until the last byte is out
        chunks = _placed(handed_over(_chunks(found, form)), place)
        answer = Response(chunks, content_type=TYPES[form], headers=_headers(found, form))
        answer.call_on_close(place.close)
        return answer

    return bp


def _asked(services: Services) -> Export:
    now = services.now()
    start, end = (
        parameters.moment(name, default, now).timestamp()
        for name, default in (("from", "-1h"), ("to", "now"))
    )
    if start >= end:
        raise BadMessage("from: must be before `to`")
    metrics = parameters.every("metric", MAX_METRICS)
    if not metrics:
        raise BadMessage("metric: missing")
    over = parameters.choice("over", list(Over))
    return Export(
        tuple(metrics),
        start,
        end,
        _step(end - start),
        All(tuple(_condition(text) for text in parameters.every("where", MAX_CONDITIONS))),
        Over(over) if over else None,
        tuple(parameters.every("tag", MAX_TAGS)),
        _share(),
    )


def _step(span: float) -> float | None:
    text = parameters.text("step")
    if text is None:
        return handy_step(span, POINTS)
    if text == RAW:
        return None
    try:
        return seconds(text)
    except ValueError as err:
        raise BadMessage(f"step: {err}, or {RAW}") from err


def _share() -> float:
    text = parameters.text("share", "0.5")
    try:
        share = float(text or "")
    except ValueError:
        share = -1
    if not 0 <= share <= 1:
        raise BadMessage("share: expected 0 to 1")
    return share


def _condition(text: str) -> Label:
    try:
        return Label(*comparison(text))
    except BadMessage as err:
        raise BadMessage(f"where: {err}") from err


def _headers(found: Exported, form: str) -> dict[str, str]:
    """What a program that saves the answer tells of it."""
    return {
        "Content-Disposition": f'attachment; filename="novacron-export.{form}"',
        "Novacron-Rows": str(found.rows),
        "Novacron-Series": str(found.series.num_rows),
        "Novacron-From": found.metadata["novacron.from"],
        "Novacron-To": found.metadata["novacron.to"],
    }


def _placed(pieces: Iterator[bytes], place: ExitStack) -> Iterator[bytes]:
    with place:
        yield from pieces


def _chunks(found: Exported, form: str) -> Generator[bytes]:
    """A file, piece by piece."""
    sink = _Sink()
    with _writer(form, sink, found.schema) as writer:
        for batch in found.batches():
            writer.write_batch(batch)
            yield sink.taken()
    yield sink.taken()


def _writer(form: str, sink: _Sink, schema: pa.Schema) -> AbstractContextManager[Any]:
    if form == "csv":
        return closing(_CsvWriter(sink, schema))
    if form == "arrow":
        stream: AbstractContextManager[Any] = pa.ipc.new_stream(sink, schema)
        return stream
    file: AbstractContextManager[Any] = pa.parquet.ParquetWriter(sink, schema, compression="zstd")
    return file


class _CsvWriter:
    """Times in UTC are written here: Arrow's own writer takes twenty times as long for them."""

    def __init__(self, sink: _Sink, schema: pa.Schema) -> None:
        self._schema = schema.set(0, pa.field("time", pa.string()))
        self._writer = pa.csv.CSVWriter(sink, self._schema)

    def write_batch(self, batch: pa.RecordBatch) -> None:
        times = batch.column(0).cast(pa.timestamp("ms")).cast(pa.string())
        arrays = [pc.binary_join_element_wise(times, "Z", ""), *batch.columns[1:]]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


class _Sink(io.RawIOBase):
    """A file whose bytes are taken away while it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        self._written += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
