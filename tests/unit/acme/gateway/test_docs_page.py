"""The page at /docs: served whole, from here alone, and not at all where it is not wanted."""

from __future__ import annotations

import re
from importlib.resources import files

from acme.gateway.docs_page import PATHS, page
from tests.unit.acme.gateway.rig import Rig, running


async def test_every_file_is_served_with_its_type_and_the_policy(rig: Rig) -> None:
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    for path, name in PATHS.items():
        answer = await rig.ask("GET", path, bearer=None)
        assert (answer.status, answer.body) == (200, page(path)[2])
        assert answer.headers["content-type"].startswith(kinds[name[name.index(".") :]])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"} <= set(
            policy
        )
        assert not re.search(r"unsafe|\*|https?:|data:", "; ".join(policy))


async def test_whoever_has_no_use_for_it_does_not_serve_it() -> None:
    async with running(docs=False) as rig:
        for path in PATHS:
            (await rig.ask("GET", path, bearer=None)).problem(404, "route_not_found")
        assert "docs" not in (await rig.ask("GET", "/", bearer=None)).json["links"]
        assert (await rig.ask("GET", "/v1/openapi.json", bearer=None)).status == 200


async def test_the_index_leads_to_it_and_head_gives_its_head(rig: Rig) -> None:
    assert (await rig.ask("GET", "/", bearer=None)).json["links"]["docs"] == "/docs"
    answer = await rig.ask("HEAD", "/docs", bearer=None)
    assert (answer.status, answer.body) == (200, b"")
    (await rig.ask("POST", "/docs", {}, bearer=None)).problem(405, "method_not_allowed")


def test_all_that_its_files_name_is_served_here() -> None:
    folder = files("acme.gateway") / "docs"
    assert {file.name for file in folder.iterdir()} == set(PATHS.values())
    for path, name in PATHS.items():
        text = page(path)[2].decode()
        named = {*re.findall(r'(?:href|src)="(/[^"]*)"', text), *re.findall(r'from "\./([^"]*)"', text)}
        assert named <= {*PATHS, *PATHS.values(), "/v1/openapi.json"}, name
        links = set(re.findall(r"https?://[^\s\"'`]*", text)) - {"http://www.w3.org/2000/svg"}  # a name, not a place
        assert links == set(), name
        assert not re.search(
            r"innerHTML|insertAdjacentHTML|eval\(|style=|\son[a-z]+=\"", text.replace("without innerHTML", "")
        )


def test_its_scripts_and_style_are_small() -> None:
    assert sum(len(page(path)[2].splitlines()) for path in PATHS if path.endswith((".js", ".css"))) < 600
