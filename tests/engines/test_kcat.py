"""Strangers read our topics: kcat as Debian has it, and Confluent's own deserializer, through the registry endpoint.

Debian builds kcat without Avro ("avro" is not among the features that `kcat -V` lists), so what kcat has read is given to
Confluent's Python client, which asks the endpoint for the schema.
"""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import AsyncIterator

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from acme.codec.avro import Avro
from acme.contract import load
from acme.contracts.projects.v1 import Project, ProjectCreated
from acme.gateway.monitor import Monitor
from acme.gateway.registry import Registry
from acme.ports import Bus
from acme.runtime import listener
from acme.telemetry import Metrics
from tests.brokers.apache import ApacheKafka
from tests.contract.bus.rigs import record

pytestmark = pytest.mark.engines

CONTRACTS = load("acme.contracts")
AVRO = Avro(CONTRACTS)


@pytest.fixture
async def endpoint() -> AsyncIterator[str]:
    """The address of the registry endpoint, on an operators' port."""
    monitor, socket = Monitor(Metrics(), "test"), listener.listen("127.0.0.1", 0)
    monitor.registry = Registry(AVRO.released)
    await monitor.start(socket)
    yield listener.url(socket)
    await monitor.close()


async def kcat(broker: ApacheKafka, topic: str, *arguments: str) -> bytes:
    """What kcat prints of all records of a topic."""
    if shutil.which("kcat") is None:
        pytest.skip("there is no kcat: Debian and Ubuntu have it as a package")
    process = await asyncio.create_subprocess_exec(
        *("kcat", "-q", "-b", broker.servers, "-C", "-t", topic, "-o", "beginning", "-e", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        printed, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return printed


async def test_what_kcat_reads_of_a_topic_is_decoded_through_the_registry_endpoint(
    kafka: ApacheKafka, bus: Bus, declared: str, endpoint: str
) -> None:
    encode = AVRO.encoder(CONTRACTS.message_of(ProjectCreated))
    names = {f"prj_{number}": f"Projekt №{number}" for number in range(3)}
    written = [ProjectCreated(project_id=id, project=Project(id=id, name=name)) for id, name in names.items()]
    headers = (("content-type", b"application/avro"), ("ce_type", b"acme.projects.v1.ProjectCreated"))
    await bus.append(
        "test", [record(declared, f"org_1:{one.project_id}", encode(one), headers=headers) for one in written]
    )

    # A line with the key; the value, with its length in front of it as a big-endian number of four bytes; the headers.
    printed = await kcat(kafka, declared, "-f", "%k\\n%R%s%h\\n")
    with SchemaRegistryClient({"url": endpoint}) as registry:
        deserialize = AvroDeserializer(registry)
        context = SerializationContext(declared, MessageField.VALUE)
        found = {}
        while printed:
            key, _, printed = printed.partition(b"\n")
            value, printed = _sized(printed)
            shown, _, printed = printed.partition(b"\n")
            assert shown == b"content-type=application/avro,ce_type=acme.projects.v1.ProjectCreated"
            decoded = await asyncio.to_thread(deserialize, value, context)
            found[key.decode()] = (decoded["project_id"], decoded["project"]["name"])
    assert found == {f"org_1:{id}": (id, name) for id, name in names.items()}


def _sized(text: bytes) -> tuple[bytes, bytes]:
    """What has its length in front of it, and the rest."""
    [size] = struct.unpack_from(">i", text)
    return text[4 : 4 + size], text[4 + size :]
