"""`acme serve`: its arguments; what its processes do together is for tests/system/test_serve.py."""

from __future__ import annotations

import pytest

from acme.cli.serve import _print
from acme.runtime.report import PluginReport, Report
from tests.unit.acme.cli.command import Command


def test_nothing_to_run_is_a_wrong_argument(acme: Command) -> None:
    ended = acme("serve")
    assert (ended.code, ended.out) == (2, "")
    assert "--gateway, --only users,projects, or both" in ended.err


def test_a_wrong_listening_address_is_named_by_its_setting(acme: Command) -> None:
    ended = acme("serve", "--only", "users", "--listen", "localhost")
    assert ended.code == 1
    assert "the command line: worker.listen: " in ended.err


def report(api: str, listen: str, *plugins: PluginReport) -> Report:
    return Report("1.0", 7, 0.5, 0.4, "external", True, api, "", "", "", "", "", 0, "", 0, plugins, listen)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            report("http://a:1", "", PluginReport("users", "0.1", "remote", "up", "", "")),
            "Acme Platform 1.0 is ready after 0.50 s: gateway on http://a:1\n",
        ),
        (
            report("", "grpc://a:2", PluginReport("users", "0.1", "local", "up", "1", "")),
            "Acme Platform 1.0 is ready after 0.50 s: users 0.1 on grpc://a:2\n",
        ),
        (
            report("http://a:1", "grpc://a:2", PluginReport("users", "0.1", "", "quarantined", "", "no luck")),
            "Acme Platform 1.0 is ready after 0.50 s: gateway on http://a:1; users 0.1 (no luck) on grpc://a:2\n",
        ),
    ],
    ids=["gateway", "worker", "both"],
)
def test_one_line_says_what_runs_where(told: Report, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    _print(told)
    assert capsys.readouterr().out == line


def test_two_ways_to_run_exclude_each_other(acme: Command) -> None:
    ended = acme("up", "--split", "--workers", "2")
    assert (ended.code, ended.err) == (2, "acme: --split and --workers are two ways to run: choose one\n")
