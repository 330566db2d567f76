"""The whole configuration: where it comes from, and what it refuses."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import msgspec
import pytest

from acme.config import ConfigError
from acme.runtime.settings import Config, decode_key, default_files, load

KEY = base64.b64encode(bytes(32)).decode()


def test_without_any_source_everything_has_its_default() -> None:
    assert load() == Config()


def test_files_environment_and_command_line_win_in_this_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('[gateway]\nport = 1\nhost = "a"\ngrace = 1.0\ntimeout = 1.0')
    second.write_text('[gateway]\nport = 2\nhost = "b"\ngrace = 2.0')
    environ = {"ACME_GATEWAY__PORT": "3", "ACME_GATEWAY__HOST": "c"}
    edge = load([first, second], environ, {"gateway": {"port": 4}}).gateway
    assert (edge.port, edge.host, edge.grace, edge.timeout) == (4, "c", 2.0, 1.0)


def test_acme_toml_of_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_files() == []
    (tmp_path / "acme.toml").touch()
    assert default_files() == [Path("acme.toml")]


def test_the_mistakes_of_all_sections_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load(values={"gatewy": {}, "gateway": {"prot": 1}, "log": {"level": "loud"}, "plugins": 5})
    assert [line.split(": ")[1] for line in caught.value.problems] == ["gatewy", "gateway.prot", "log.level", "plugins"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("platform", "region", "Not A Region"),
        ("platform", "public_url", "acme.example"),
        ("platform", "public_url", "https://acme.example/path"),
        ("database", "url", "mysql://host"),
        ("database", "connections", 0),
        ("mailer", "url", "smtp://host"),
        ("clock", "url", "sundial:"),
        ("gateway", "port", -1),
        ("gateway", "grace", -1.0),
        ("secrets", "master_key", "short"),
    ],
)
def test_a_value_that_cannot_work_is_refused(section: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=section):
        load(values={section: {key: value}})


def test_a_plugins_table_is_kept_for_the_plugin_to_decode() -> None:
    class Settings(msgspec.Struct, frozen=True):
        size: int = 1

    config = load(values={"plugins": {"stranger": {"size": 5}}})
    assert config.plugins["stranger"].decode(Settings) == Settings(5)


def test_the_data_folder_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load().data == tmp_path / ".acme"


def test_acme_postgres_bin_names_the_programs_to_use() -> None:
    environ = {"ACME_POSTGRES_BIN": "/usr/lib/postgresql/16/bin"}
    assert load(environ=environ).database.binaries == "/usr/lib/postgresql/16/bin"
    assert load(environ={**environ, "ACME_DATABASE__BINARIES": "/other"}).database.binaries == "/other"


def test_the_master_key_is_never_shown() -> None:
    assert KEY not in repr(load(values={"secrets": {"master_key": KEY}}))
    with pytest.raises(ConfigError) as caught:
        load(values={"secrets": {"master_key": "hunter2"}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(bytes(31)).decode()])
def test_a_master_key_is_base64_of_32_bytes_at_least(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32"):
        decode_key(text)


def test_a_good_master_key_is_decoded() -> None:
    assert decode_key(KEY) == bytes(32)


def test_services_have_addresses_and_nothing_takes_one_back(tmp_path: Path) -> None:
    file = tmp_path / "acme.toml"
    file.write_text('[services]\nusers = "grpc://a:1, grpcs://[::1]:2"\nprojects = "grpc+unix:///run/p%20q.sock"\n')
    assert load([file]).services == {
        "users": ("grpc://a:1", "grpcs://[::1]:2"),
        "projects": ("grpc+unix:///run/p%20q.sock",),
    }
    assert set(load([file], {"ACME_SERVICES__USERS": ""}).services) == {"projects"}


@pytest.mark.parametrize(
    "address", ["a:1", "http://a:1", "grpc://a", "grpc+unix://run/a", "grpc://a:1,b:2", "grpc://a:65536"]
)
def test_what_is_no_address_is_told_with_what_one_looks_like(address: str) -> None:
    with pytest.raises(ConfigError, match=r"services\.users: an address is expected.*grpc://host:port"):
        load(values={"services": {"users": address}})


def test_an_address_is_text() -> None:
    with pytest.raises(ConfigError, match=r"services\.users: text is expected"):
        load(values={"services": {"users": 5}})


@pytest.mark.parametrize(
    ("format", "terminal", "text"),
    [("auto", True, True), ("auto", False, False), ("text", False, True), ("json", True, False)],
)
def test_logs_are_text_for_people(format: str, terminal: bool, text: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    assert load(values={"log": {"format": format}}).log.as_text(Stream()) is text


@pytest.mark.parametrize(
    ("text", "place", "third"),
    [
        ("", None, ""),
        ("0.0.0.0:9090", ("0.0.0.0", 9090), "0.0.0.0:9092"),  # noqa: S104 - read, not bound
        ("[::1]:9090", ("::1", 9090), "[::1]:9092"),
        ("localhost:0", ("localhost", 0), "localhost:0"),
    ],
)
def test_operators_have_a_port_and_several_processes_one_after_the_other(
    text: str, place: tuple[str, int] | None, third: str
) -> None:
    monitor = load(values={"monitor": {"listen": text}}).monitor
    assert (monitor.place, monitor.nth(2)) == (place, third)


@pytest.mark.parametrize("text", ["9090", "http://localhost:9090", "localhost:", "localhost:70000"])
def test_what_is_no_place_for_operators_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"monitor\.listen"):
        load(values={"monitor": {"listen": text}})
