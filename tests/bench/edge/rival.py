"""Envoy and uvicorn as processes, set up for the comparison."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.serving import Cores, pin

_TYPES: Final = "type.googleapis.com/envoy.extensions"
_START: Final = 30.0
"""Seconds for each of them to listen."""


@dataclass(frozen=True)
class Rival:
    """Both, listening."""

    pids: tuple[int, int]
    plain: int
    """Port of Envoy's listener without TLS."""
    tls: int


@contextlib.contextmanager
def rival(
    environment: Path, folder: Path, jwks: str, certificate: Mapping[str, Path], postgres: Path, cores: Cores
) -> Iterator[Rival]:
    """Starts both, on the servers' core. `environment` is the venv of `requirements.txt`, `jwks` whose tokens are good,
    `certificate` has the paths "certificate" and "key", `postgres` is the folder of the socket."""
    folder.mkdir(parents=True)
    plain, tls, upstream = free_ports(3)
    (folder / "envoy.json").write_text(
        json.dumps(_envoy(plain, tls, upstream, jwks, certificate, folder / "envoy.log"))
    )
    binary = next((environment / "lib").glob("python*/site-packages/envoy/_bin/envoy"))
    service = [str(environment / "bin/uvicorn"), "rival_app:app", "--host", "127.0.0.1", "--port", str(upstream)]
    service += ["--loop", "uvloop", "--http", "httptools", "--app-dir", str(Path(__file__).parent)]
    proxy = [str(binary), "-c", str(folder / "envoy.json"), "--concurrency", "1", "--log-level", "warning"]
    proxy += ["--disable-hot-restart"]
    environ = {**os.environ, "BENCH_PGHOST": str(postgres)}
    with contextlib.ExitStack() as stack:
        processes = []
        for name, command, ports in (("uvicorn", service, [upstream]), ("envoy", proxy, [plain, tls])):
            log = stack.enter_context((folder / f"{name}.out").open("wb"))
            process = stack.enter_context(subprocess.Popen(command, env=environ, stdout=log, stderr=log))
            stack.callback(process.kill)
            for port in ports:
                _listening(process, port, folder / f"{name}.out")
            processes.append(process.pid)
        pin(processes, cores.server)
        yield Rival((processes[0], processes[1]), plain, tls)


def _envoy(
    plain: int, tls: int, upstream: int, jwks: str, certificate: Mapping[str, Path], log: Path
) -> dict[str, Any]:
    """Its configuration: two listeners with the same filters."""
    chain = {
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_TYPES}.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": [
                        {
                            "certificate_chain": {"filename": str(certificate["certificate"])},
                            "private_key": {"filename": str(certificate["key"])},
                        }
                    ],
                    "alpn_protocols": ["http/1.1"],
                },
            },
        }
    }
    listeners = []
    for port, extra in ((plain, {}), (tls, chain)):
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": _manager(port, jwks, log)}]
        listeners.append({"address": _address(port), "filter_chains": [{"filters": filters, **extra}]})
    endpoint = {"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}
    cluster = {
        "name": "service",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "service", "endpoints": [endpoint]},
    }
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}


def _manager(port: int, jwks: str, log: Path) -> dict[str, Any]:
    whole = {"numerator": 100, "denominator": "HUNDRED"}
    provider = {
        "issuer": "https://acme.localhost",
        "audiences": ["acme-api"],
        "forward": True,
        "forward_payload_header": "x-jwt-payload",
        "local_jwks": {"inline_string": jwks},
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    return {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"port_{port}",
        "codec_type": "AUTO",
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {"@type": f"{_TYPES}.access_loggers.file.v3.FileAccessLog", "path": str(log)},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.jwt_authn",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.jwt_authn.v3.JwtAuthentication",
                    "providers": {"acme": provider},
                    "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "acme"}}],
                },
            },
            {
                "name": "envoy.filters.http.local_ratelimit",
                "typed_config": {
                    "@type": f"{_TYPES}.filters.http.local_ratelimit.v3.LocalRateLimit",
                    "stat_prefix": "limit",
                    "token_bucket": {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "1s"},
                    "filter_enabled": {"default_value": whole},
                    "filter_enforced": {"default_value": whole},
                    "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            },
        ],
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def free_ports(count: int) -> list[int]:
    """Free ports, as far as anybody can know."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]


def _listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"{log.stem} does not listen on {port}:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)
