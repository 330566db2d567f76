"""A process that holds a mock cluster: reads one command a line, and answers each with one line.

    topic NAME PARTITIONS       errors API CODE…        down | up        delete TOPIC PARTITION BEFORE

The first line it writes is where the cluster listens. The cluster ends with the process, and the process with its input.
confluent-kafka shows a part of librdkafka alone, so its library is called as C (rdkafka_mock.h).
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

PRODUCER = 0
SILENT = 0
BROKER = 1


class Library:
    """librdkafka, as the wheel of confluent-kafka ships it, with one mock cluster."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("confluent_kafka")
        assert spec is not None
        assert spec.origin is not None
        [path] = (Path(spec.origin).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
        self._c = ctypes.CDLL(str(path))
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        self._declare("rd_kafka_conf_new", pointer)
        self._declare("rd_kafka_conf_set", number, pointer, text, text, text, ctypes.c_size_t)
        self._declare("rd_kafka_new", pointer, number, pointer, text, ctypes.c_size_t)
        self._declare("rd_kafka_mock_cluster_new", pointer, pointer, number)
        self._declare("rd_kafka_mock_cluster_bootstraps", text, pointer)
        self._declare("rd_kafka_mock_topic_create", number, pointer, text, number, number)
        self._declare("rd_kafka_mock_group_initial_rebalance_delay_ms", None, pointer, ctypes.c_int32)
        self._declare(
            "rd_kafka_mock_push_request_errors_array", None, pointer, ctypes.c_int16, ctypes.c_size_t, pointer
        )
        self._declare("rd_kafka_mock_broker_set_down", number, pointer, ctypes.c_int32)
        self._declare("rd_kafka_mock_broker_set_up", number, pointer, ctypes.c_int32)
        self._declare("rd_kafka_mock_partition_delete_records", number, pointer, text, ctypes.c_int32, ctypes.c_int64)
        trouble = ctypes.create_string_buffer(512)
        settings = self._c.rd_kafka_conf_new()
        self._c.rd_kafka_conf_set(settings, b"log_level", b"0", trouble, len(trouble))
        client = self._c.rd_kafka_new(PRODUCER, settings, trouble, len(trouble))
        assert client, trouble.value.decode()
        self._cluster = self._c.rd_kafka_mock_cluster_new(client, 1)
        self._c.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    @property
    def servers(self) -> str:
        """`host:port`."""
        found: bytes = self._c.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return found.decode()

    def run(self, words: Sequence[str]) -> int:
        """Does what a line says; 0 when it was done, else librdkafka's error."""
        match list(words):
            case ["topic", name, partitions]:
                return int(self._c.rd_kafka_mock_topic_create(self._cluster, name.encode(), int(partitions), 1))
            case ["errors", api, *codes]:
                array = (ctypes.c_int * len(codes))(*(int(code) for code in codes))
                self._c.rd_kafka_mock_push_request_errors_array(self._cluster, int(api), len(codes), array)
                return 0
            case ["down"]:
                return int(self._c.rd_kafka_mock_broker_set_down(self._cluster, BROKER))
            case ["up"]:
                return int(self._c.rd_kafka_mock_broker_set_up(self._cluster, BROKER))
            case ["delete", topic, partition, before]:
                done = self._c.rd_kafka_mock_partition_delete_records
                return int(done(self._cluster, topic.encode(), int(partition), int(before)))
        raise ValueError(words)

    def _declare(self, name: str, result: object, *arguments: object) -> None:
        function = getattr(self._c, name)
        function.restype, function.argtypes = result, arguments


def main() -> None:
    """Serves until the input ends."""
    library = Library()
    print(library.servers, flush=True)
    for line in sys.stdin:
        print(library.run(line.split()), flush=True)


if __name__ == "__main__":
    main()
