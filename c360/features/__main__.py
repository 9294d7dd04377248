"""``python -m c360.features``: store the features until told to end, and say at ``/metrics`` how it goes."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from prometheus_client import start_http_server

from c360.features.client import client_of
from c360.features.errors import StoreStopped
from c360.features.retrying import Retrying, code_of
from c360.features.sink import Counts, Sink
from c360.features.store import FeatureStore
from c360.features.tables import feature_tables
from c360.features.writing import Writer
from c360.settings import LOOPBACK, Settings

LOG = logging.getLogger("c360.features")


def main() -> None:
    """One of them for each store is enough; two would do everything twice, and no harm."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sys.exit(run(Settings(), ended))


def run(settings: Settings, ended: threading.Event) -> int:
    """Store the features until ``ended``; the exit code, 1 where the store refuses what no waiting mends."""
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    counts, tables = Counts(), feature_tables()
    server, thread = start_http_server(settings.sink_port, addr=LOOPBACK, registry=counts.registry)
    client = client_of(settings, "writer")
    retrying = Retrying(ended, counts.retried.inc)
    store = FeatureStore(client, settings.feature_prefix, retrying)
    writer = Writer(client, settings.feature_prefix, ended, counts.retried.inc)
    sink = Sink(settings.kafka_servers, tables, store, writer, counts, ended)
    try:
        store.ensure(tables.values())
        while not ended.is_set():
            sink.step()
    except StoreStopped as error:
        LOG.info("%s", error)
    except (ClientError, BotoCoreError) as error:
        # Its text may quote a row.
        LOG.critical("the store refuses: %s", code_of(error) or type(error).__name__)
        return 1
    finally:
        writer.close()
        sink.close()
        server.shutdown()
        thread.join()
    return 0


if __name__ == "__main__":
    main()
