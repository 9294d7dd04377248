"""Parquet as text columns: exact decimals, ISO dates and times, as the bronze reader would write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from c360.errors import LandingError
from c360.ingest import parquet
from c360.ingest.mapping_source import RECORD, Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

ROWS = 65_536


class ParquetSource:
    """A Parquet file of any column types."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.stat().st_size == 0:
                raise LandingError(f"{path.name} is empty", "export it again; there is nothing to land")
            with pq.ParquetFile(path) as file:
                self.columns = tuple(file.schema_arrow.names)
        except FileNotFoundError as error:
            raise LandingError(f"There is no file {path}", "check the path") from error
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """See :class:`c360.ingest.mapping_source.TextSource`."""
        count = 0
        with pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(ROWS, columns=list(dict.fromkeys(wanted)))
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    raise self._damaged(error) from error
                if batch is None:
                    return
                arrays = [self._as_text(batch.column(name), name) for name in wanted]
                numbers = pa.array(np.arange(count + 1, count + 1 + batch.num_rows, dtype=np.int64))
                count += batch.num_rows
                yield Batch(pa.table([*arrays, numbers], names=[*wanted, RECORD]))

    def places(self, records: Iterable[int]) -> dict[int, str]:
        """Parquet has rows, not lines."""
        return {r: f"row {r}" for r in records}

    def _as_text(self, values: pa.Array[Any], name: str) -> pa.Array[Any]:
        text = parquet._text(values)
        if text.null_count != values.null_count:
            raise LandingError(
                f"The column '{name}' of {self.path.name} holds bytes that are not UTF-8 text", "export it as text"
            )
        return text

    def _damaged(self, error: Exception) -> LandingError:
        first = str(error).splitlines()[0][:120]
        return LandingError(f"{self.path.name} is no complete Parquet file ({first})", "export it again")
