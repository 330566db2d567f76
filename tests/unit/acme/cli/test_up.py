"""What `acme up` prints: one block that says what is where, or one JSON object."""

from __future__ import annotations

import io
import json

import msgspec
import pytest
from rich.console import Console

from acme.cli.up import next_commands, print_block, print_json
from acme.runtime.lifecycle import PluginReport, Report

REPORT = Report(
    version="0.1.0",
    pid=123,
    ready_seconds=0.9,
    cpu_seconds=0.5,
    mode="embedded",
    ready=True,
    api="http://127.0.0.1:8080",
    openapi="http://127.0.0.1:8080/v1/openapi.json",
    health="http://127.0.0.1:8080/healthz",
    readiness="http://127.0.0.1:8080/readyz",
    metrics="http://127.0.0.1:8080/metrics",
    keys="http://127.0.0.1:8080/.well-known/jwks.json",
    asked_port=8080,
    data="/home of/ada/.acme",
    data_bytes=45_000_000,
    plugins=(PluginReport("users", "0.1.0", "local", "up", "1 (1 new)", ""),),
)


def block(report: Report) -> str:
    console = Console(file=io.StringIO(), highlight=False, soft_wrap=True, width=80)
    print_block(report, console)
    text = console.file
    assert isinstance(text, io.StringIO)
    return text.getvalue()


def test_the_block_says_what_is_where() -> None:
    text = block(REPORT)
    for told in (REPORT.api, REPORT.openapi, REPORT.health, REPORT.readiness, REPORT.metrics, REPORT.data, "45 MB"):
        assert told in text
    assert "ready after 0.90 s" in text
    assert "acme reset --data '/home of/ada/.acme'" in text
    assert [word for line in text.splitlines() if "users" in line and "0.1.0" in line for word in line.split()] == [
        "users", "0.1.0", "local", "up", "1", "(1", "new)",
    ]  # fmt: skip


def test_the_block_says_what_is_not_promised() -> None:
    assert "Not promised: surviving the loss of this disk" in block(REPORT)
    assert "the database is yours" in block(msgspec.structs.replace(REPORT, mode="external"))


def test_a_busy_port_is_told() -> None:
    assert "busy" not in block(REPORT)
    assert "Port 80 is busy: using 8080." in block(msgspec.structs.replace(REPORT, asked_port=80))
    assert "busy" not in block(msgspec.structs.replace(REPORT, asked_port=0))


def test_a_quarantined_plugin_is_told_with_its_reason() -> None:
    down = PluginReport("users", "0.1.0", "", "quarantined", "", "import: ModuleNotFoundError: No module named 'x'")
    text = block(msgspec.structs.replace(REPORT, ready=False, plugins=(down,)))
    assert "users: import: ModuleNotFoundError: No module named 'x'" in text
    assert "is not ready after" in text


def test_the_next_commands_are_whole_lines_with_the_real_port_and_folder() -> None:
    sign_up, mailbox, log_in, events = next_commands(REPORT)
    lines = block(REPORT).splitlines()
    assert f"  {sign_up}" in lines
    assert "http://127.0.0.1:8080/v1/users" in sign_up
    assert mailbox.endswith("mailbox --data '/home of/ada/.acme'")
    assert "http://127.0.0.1:8080/v1/sessions" in log_in
    assert events.endswith("events tail --data '/home of/ada/.acme'")


def test_json_is_one_line_with_everything(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_json(REPORT)
    (line,) = capsysbinary.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["api"] == REPORT.api
    assert told["plugins"][0]["name"] == "users"


SECURE = msgspec.structs.replace(REPORT, api="https://127.0.0.1:8080", authority="/home of/ada/.acme/tls/authority.pem")


def test_over_https_the_next_commands_believe_in_the_local_authority() -> None:
    sign_up, _, log_in, _ = next_commands(SECURE)
    for command in (sign_up, log_in):
        assert command.startswith("curl -sS --cacert '/home of/ada/.acme/tls/authority.pem' ")
        assert " https://127.0.0.1:8080/v1/" in command
    assert "--cacert" not in " ".join(next_commands(REPORT))


def test_the_block_tells_how_to_believe_in_the_local_authority() -> None:
    text = block(SECURE)
    for told in (
        "curl --cacert '/home of",
        "update-ca-certificates",
        "add-trusted-cert",
        "vouches for this machine alone",
    ):
        assert told in text
    assert "--cacert" not in block(REPORT)


def test_what_is_not_promised_is_tls_only_without_it() -> None:
    assert ", TLS." in block(REPORT)
    assert "TLS" not in block(SECURE).partition("Mode:")[2]
