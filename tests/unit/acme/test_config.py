"""Settings are decoded once, and every mistake names its source, its path and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from acme.config import ConfigError, Layer, Tree, read_environment, read_file


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    depth: int = 1


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of each kind of setting."""

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    grace: float = 10.0
    verbose: bool = False
    level: Literal["debug", "info"] = "info"
    names: tuple[str, ...] = ()
    urls: dict[str, str] = msgspec.field(default_factory=dict)
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.port == 666:
            raise ValueError("port 666 is not for us")


class Needy(msgspec.Struct, frozen=True):
    key: str


def decode(*layers: Layer) -> Sample:
    return Tree(layers).section("sample").decode(Sample)


def of(name: str = "acme.toml", **values: Any) -> Layer:
    return Layer({"sample": values}, name)


def problems_of(*layers: Layer) -> str:
    with pytest.raises(ConfigError) as caught:
        decode(*layers)
    return str(caught.value)


def test_what_is_left_out_has_its_default() -> None:
    assert decode() == Sample()


def test_a_later_layer_wins_key_by_key() -> None:
    sample = decode(of(port=1, host="a", urls={"a": "1"}), of(port=2, urls={"b": "2"}), of(inner={"depth": 3}))
    assert sample == Sample(port=2, host="a", urls={"a": "1", "b": "2"}, inner=Inner(3))


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("ACME_SAMPLE__PORT", "9000", Sample(port=9000)),
        ("acme_sample__port", "9000", Sample(port=9000)),
        ("ACME_SAMPLE__HOST", "0.0.0.0", Sample(host="0.0.0.0")),  # noqa: S104  (nothing is bound)
        ("ACME_SAMPLE__HOST", "123", Sample(host="123")),
        ("ACME_SAMPLE__GRACE", "2", Sample(grace=2.0)),
        ("ACME_SAMPLE__VERBOSE", "true", Sample(verbose=True)),
        ("ACME_SAMPLE__LEVEL", "debug", Sample(level="debug")),
        ("ACME_SAMPLE__NAMES", '["a", "b"]', Sample(names=("a", "b"))),
        ("ACME_SAMPLE__URLS__USERS", "postgresql://x/y", Sample(urls={"users": "postgresql://x/y"})),
        ("ACME_SAMPLE__INNER__DEPTH", "5", Sample(inner=Inner(5))),
    ],
)
def test_the_environment_is_read_by_the_type_of_the_setting(variable: str, text: str, expected: Sample) -> None:
    assert decode(of(), read_environment({variable: text})) == expected


def test_variables_without_a_double_underscore_are_no_settings() -> None:
    assert read_environment({"ACME_POSTGRES_BIN": "/x", "PATH": "/bin", "OTHER__KEY": "1"}).values == {}


def test_a_variable_that_is_a_value_and_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"ACME_A__B__C: a\.b is set as a value as well"):
        read_environment({"ACME_A__B": "1", "ACME_A__B__C": "2"})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prot": 1}, "acme.toml: sample.prot: unknown key. Did you mean port? Allowed in [sample]: grace, host,"),
        ({"zzz": 1}, "acme.toml: sample.zzz: unknown key. Allowed in [sample]: grace, host,"),
        ({"inner": {"dept": 1}}, "acme.toml: sample.inner.dept: unknown key. Did you mean depth?"),
        ({"port": "80"}, "acme.toml: sample.port: Expected int, got str"),
        ({"port": 70000}, "acme.toml: sample.port: Expected int <= 65535"),
        ({"port": True}, "acme.toml: sample.port: Expected int, got bool"),
        ({"level": "loud"}, "acme.toml: sample.level: must be one of debug, info"),
        ({"urls": {"users": 5}}, "acme.toml: sample.urls[...]: Expected str, got int"),
        ({"names": ["a", 1]}, "acme.toml: sample.names[1]: Expected str, got int"),
        ({"inner": 5}, "acme.toml: sample.inner: Expected object, got int"),
        ({"port": 666}, "acme.toml: [sample]: port 666 is not for us"),
    ],
)
def test_a_mistake_names_file_key_and_what_is_allowed(values: dict[str, Any], expected: str) -> None:
    assert problems_of(of(**values)).startswith(expected)


def test_all_mistakes_are_told_at_once() -> None:
    assert len(problems_of(of(port="x", prot=1, level="loud")).splitlines()) == 3


def test_a_mistake_names_the_layer_it_came_from() -> None:
    assert problems_of(of("a.toml", port=1), of("b.toml", port="x")).startswith("b.toml: sample.port")
    assert problems_of(of(), read_environment({"ACME_SAMPLE__PORT": "x"})).startswith(
        "environment variable ACME_SAMPLE__PORT: sample.port: Expected int, got str"
    )
    assert problems_of(of(), read_environment({"ACME_SAMPLE__PROT": "1"})).startswith(
        "environment variable ACME_SAMPLE__PROT: sample.prot: unknown key. Did you mean port?"
    )


def test_a_mistake_never_shows_the_value() -> None:
    assert "hunter2" not in problems_of(of(port="hunter2", level="hunter2", names="hunter2"))


def test_a_setting_without_default_has_to_be_there() -> None:
    with pytest.raises(ConfigError, match=r"acme.toml: sample.key: is missing and has no default"):
        Tree([of(other=1)]).section("sample").decode(Needy)


def test_a_value_where_a_table_belongs_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"x.toml: sample: a table is expected, \[sample\]"):
        Tree([Layer({"sample": 5}, "x.toml")]).section("sample")


def test_an_unknown_table_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"x.toml: gatway: unknown key. Did you mean gateway\? Allowed at the top: gateway"
    ):
        Tree([Layer({"gatway": {"port": 1}}, "x.toml")]).only(["gateway", "log"])


def test_broken_toml_is_told_with_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_text("[gateway]\nport 80\n")
    with pytest.raises(ConfigError, match=r"acme.toml: is not valid TOML: .*line 2, column 6"):
        read_file(path)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.toml: cannot be read: No such file"):
        read_file(Path("nowhere.toml"))


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "acme.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 5\)"):
        read_file(path)


def test_a_section_is_shown_as_it_was_set_and_not_as_it_would_be_decoded() -> None:
    environ = read_environment({"ACME_PLUGINS__MADE__SIZE": "5"})
    section = Tree([Layer({"plugins": {"made": {"more": {"deep": [1, 2]}}}}, "here"), environ]).section(
        "plugins", "made"
    )
    assert section.plain() == {"more": {"deep": [1, 2]}, "size": "5"}
    assert type(section.plain()["size"]) is str
