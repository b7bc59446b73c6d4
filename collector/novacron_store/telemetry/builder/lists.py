"""Series as an Arrow table: a row for each, with lists of its times and values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def table(
    labels: Sequence[dict[str, str]],
    lengths: Sequence[int] | NDArray[np.intp],
    times: NDArray[np.int64],
    values: NDArray[np.float64],
) -> pa.Table:
    """`times` (Unix milliseconds) and `values` of all series, one after the other; NaN is null."""
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    stamps = pa.array(times).cast(pa.timestamp("ms", "UTC"))
    numbers = pa.array(values, mask=np.isnan(values))
    said = [list(one.items()) for one in labels]
    return pa.table({
        "labels": pa.array(said, pa.map_(pa.string(), pa.string())),
        "times": pa.ListArray.from_arrays(offsets, stamps),
        "values": pa.ListArray.from_arrays(offsets, numbers),
    })  # fmt: skip
