"""What the URL of a cluster may be, and what its errors become."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from aiokafka.errors import CommitFailedError, KafkaConnectionError

from acme.drivers.kafka.cluster import Cluster, Health
from acme.errors import Unavailable


def test_a_url_names_brokers_and_9092_is_where_they_listen() -> None:
    cluster = Cluster.of("kafka://one:9093,two", timeout=2.5)
    assert cluster.servers == ("one:9093", "two:9092")
    assert cluster.milliseconds == 2500
    told = cluster.client()
    assert (told["security_protocol"], told["ssl_context"]) == ("PLAINTEXT", None)


def test_tls_has_pythons_defaults_or_a_context_of_ones_own() -> None:
    context = ssl.create_default_context()
    assert Cluster.of("kafkas://one", tls=context).client()["ssl_context"] is context
    assert Cluster.of("kafkas://one").client()["ssl_context"].check_hostname
    assert Cluster.of("kafkas://one").client()["security_protocol"] == "SSL"


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_scram_goes_with_or_without_tls(mechanism: str) -> None:
    for scheme, protocol in (("kafka", "SASL_PLAINTEXT"), ("kafkas", "SASL_SSL")):
        told = Cluster.of(f"{scheme}://one", mechanism=mechanism, user="acme", password="secret").client()
        assert told["security_protocol"] == protocol
        assert told["sasl_mechanism"] == mechanism
        assert (told["sasl_plain_username"], told["sasl_plain_password"]) == ("acme", "secret")


def test_aws_iam_logs_in_with_tokens() -> None:
    told = Cluster.of("kafkas://one:9098", mechanism="AWS_MSK_IAM", region="eu-west-1").client()
    assert (told["security_protocol"], told["sasl_mechanism"]) == ("SASL_SSL", "OAUTHBEARER")
    assert type(told["sasl_oauth_token_provider"]).__name__ == "Tokens"


@pytest.mark.parametrize(
    ("url", "settings", "said"),
    [
        ("kafka://", {}, "names no broker"),
        ("kafka://acme:secret@one", {}, "account"),
        ("kafka://one?acks=1", {}, "nothing but"),
        ("kafka://one/topic", {}, "nothing but"),
        ("kafka://one", {"tls": ssl.create_default_context()}, "kafkas://"),
        ("kafkas://one", {"mechanism": "GSSAPI"}, "no such mechanism"),
        ("kafkas://one", {"mechanism": "PLAIN"}, "user and a password"),
        ("kafkas://one", {"user": "acme", "password": "secret"}, "mechanism"),
        ("kafka://one", {"mechanism": "PLAIN", "user": "acme", "password": "secret"}, "kafkas://"),
        ("kafkas://one", {"mechanism": "AWS_MSK_IAM"}, "region"),
        ("kafka://one", {"mechanism": "AWS_MSK_IAM", "region": "eu-west-1"}, "kafkas://"),
    ],
)
def test_what_does_not_go_together_is_refused_without_a_secret(
    url: str, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        Cluster.of(url, **settings)  # type: ignore[arg-type]  # they are of several types
    assert "secret" not in str(caught.value).replace("its secret", "")


def test_a_password_is_not_in_what_a_cluster_looks_like() -> None:
    assert "hidden" not in repr(Cluster.of("kafkas://one", mechanism="PLAIN", user="acme", password="hidden"))


async def test_an_error_of_kafkas_is_unavailable_and_the_state_until_something_works() -> None:
    health = Health()
    assert health.state == "ok"
    with pytest.raises(Unavailable) as caught:
        async with health.asking("appending", 1.0):
            raise KafkaConnectionError("broker of acme@example.com")
    assert caught.value.reason == "bus_unavailable"
    assert "example" not in str(caught.value)
    assert health.state.startswith("appending failed (KafkaConnectionError) for")
    async with health.asking("appending", 1.0):
        pass
    assert health.state == "ok"


async def test_what_takes_too_long_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        async with Health().asking("waiting", 0.01):
            await asyncio.Event().wait()


async def test_a_commit_that_was_refused_is_no_trouble_of_the_clusters() -> None:
    health = Health()
    with pytest.raises(CommitFailedError):
        async with health.asking("committing", 1.0):
            raise CommitFailedError
    assert health.state == "ok"
