"""What a request may carry, and what becomes of it: path, query, headers and body over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import ArchiveProjectRequest, CreateProjectRequest, ListProjectsRequest
from tests.unit.acme.gateway.rig import ID, SESSION, Answer, Rig

ONE = f"/v1/projects/{ID}"


async def test_a_body_becomes_the_request_and_the_reply_a_body(rig: Rig) -> None:
    answer = await rig.ask("POST", "/v1/projects", {"name": "Apollo", "labels": {"a": "b"}})
    assert answer.status == 201
    assert rig.projects.requests == [CreateProjectRequest(name="Apollo", labels={"a": "b"})]
    assert answer.json["name"] == "Apollo"
    assert answer.json["labels"] == {"a": "b"}
    assert answer.headers["content-type"] == "application/json"


async def test_the_version_of_a_reply_is_its_etag(rig: Rig) -> None:
    answer = await rig.ask("GET", ONE)
    assert answer.headers["etag"] == '"7"'
    assert answer.json["version"] == 7


async def test_an_empty_success_has_no_body(rig: Rig) -> None:
    answer = await rig.ask("DELETE", f"/v1/sessions/{SESSION}")
    assert (answer.status, answer.body) == (204, b"")
    assert not {"content-length", "content-type"} & answer.headers.keys()


async def test_parameters_of_the_query_fill_fields(rig: Rig) -> None:
    await rig.ask("GET", "/v1/projects?page_size=2&page_token=a%2Bb+c")
    assert rig.projects.requests == [ListProjectsRequest(page_size=2, page_token="a+b c")]


async def test_a_header_fills_its_field(rig: Rig) -> None:
    await rig.ask("POST", "/v1/sessions", {"email": "a", "password": "right"}, bearer=None, User_Agent="curl é\udcff")
    assert rig.sessions.requests[0].user_agent == "curl é\ufffd"


async def test_a_patch_s_mask_is_the_set_of_keys_present(rig: Rig) -> None:
    await rig.ask("PATCH", ONE, {"name": "x", "description": None})
    (request,) = rig.projects.requests
    assert (request.id, request.name, request.description) == (ID, "x", "")
    assert sorted(request.update_mask.paths) == ["description", "name"]


async def test_a_patch_of_nothing_has_an_empty_mask(rig: Rig) -> None:
    assert (await rig.ask("PATCH", ONE, {})).status == 200
    assert rig.projects.requests[0].update_mask == FieldMask(paths=[])


@pytest.mark.parametrize(("value", "version"), [('"7"', 7), ("*", None), (' "7" ', 7)])
async def test_if_match_names_a_version(rig: Rig, value: str, version: int | None) -> None:
    assert (await rig.ask("POST", f"{ONE}:archive", If_Match=value)).status == 200
    assert rig.projects.requests == [ArchiveProjectRequest(id=ID, if_match=version)]


@pytest.mark.parametrize(
    "value", ["7", 'W/"7"', '"7", "8"', '""', '"07"', '"-1"', '"9999999999999999999"', '"x"', "", '"7" ,', "**"]
)
async def test_any_other_if_match_is_412(rig: Rig, value: str) -> None:
    (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match=value)).problem(412, "version_mismatch")
    assert rig.projects.requests == []


async def test_a_stale_version_is_412(rig: Rig) -> None:
    (await rig.ask("PATCH", ONE, {"name": "x"}, If_Match='"6"')).problem(412, "failed_precondition")


async def test_nothing_may_be_sent_as_an_empty_object_where_nothing_is_wanted(rig: Rig) -> None:
    assert (await rig.ask("POST", f"{ONE}:archive", {})).status == 200
    assert (await rig.ask("POST", f"{ONE}:archive")).status == 200
    assert (await rig.ask("GET", ONE, {})).status == 200
    assert len(rig.projects.requests) == 3


async def test_nothing_else_may_be_sent_there(rig: Rig) -> None:
    problem = (await rig.ask("POST", f"{ONE}:archive", {"id": "x", "a": 1})).problem(422, "invalid_argument")
    assert {error["pointer"] for error in problem["errors"]} == {"/id", "/a"}


def deep(levels: int) -> bytes:
    return b'{"name":"x","labels":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"


MALFORMED: dict[str, bytes] = {
    "half": b'{"name":"x"',
    "words": b"name=x",
    "two values": b'{"name":"x"}{"name":"y"}',
    "trailing comma": b'{"name":"x",}',
    "single quotes": b"{'name':'x'}",
    "comment": b'{"name":"x"/* y */}',
    "NUL byte": b'{"name":"x\x00"}',
    "control character": b'{"name":"x\ny"}',
    "not UTF-8": b'{"name":"\xff"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"name":"x"}',
    "blank": b"  ",
    "bad escape": b'{"name":"\\x"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_cannot_be_read_is_400(rig: Rig, body: bytes) -> None:
    answer = await rig.ask("POST", "/v1/projects", body)
    assert answer.status == 400, answer
    answer.problem(400, answer.json["code"])
    assert rig.projects.requests == []


async def test_an_empty_body_is_400(rig: Rig) -> None:
    (await rig.ask("POST", "/v1/projects", b"")).problem(400, "empty_body")
    (await rig.ask("POST", "/v1/projects")).problem(400, "empty_body")


INVALID: dict[str, tuple[bytes, str]] = {
    "a list": (b"[]", ""),
    "a text": (b'"x"', ""),
    "null": (b"null", ""),
    "a number": (b"7", ""),
    "nothing that is required": (b"{}", "/name"),
    "unknown field": (b'{"name":"x","nome":"y"}', "/nome"),
    "camelCase": (b'{"name":"x","organizationId":"y"}', "/organizationId"),
    "duplicate key": (b'{"name":"x","name":"y"}', "/name"),
    "duplicate key inside": (b'{"name":"x","labels":{"a":"1","a":"2"}}', "/labels/a"),
    "number for a text": (b'{"name":7}', "/name"),
    "text for a map": (b'{"name":"x","labels":"a"}', "/labels"),
    "list for a map": (b'{"name":"x","labels":["a"]}', "/labels"),
    "number in a map": (b'{"name":"x","labels":{"a":1}}', "/labels/a"),
    "key that breaks its pattern": (b'{"name":"x","labels":{"A":"1"}}', "/labels/A"),
    "NUL escaped": (b'{"name":"x\\u0000"}', "/name"),
    "lone surrogate": (b'{"name":"\\ud800"}', "/name"),
    "too long": (b'{"name":"' + b"x" * 101 + b'"}', "/name"),
    "empty": (b'{"name":""}', "/name"),
    "line break in a line": (b'{"name":"a\\nb"}', "/name"),
    "id of another kind": (b'{"name":"x","organization_id":"usr_01h455vb4pex5vsknk084sn02q"}', "/organization_id"),
    "malformed id": (b'{"name":"x","organization_id":"org_1"}', "/organization_id"),
    "NaN": (b'{"name":NaN}', ""),
    "too many": (b'{"name":"x","labels":{' + b",".join(b'"k%d":""' % n for n in range(65)) + b"}}", "/labels"),
    "deep": (deep(65), ""),
    "very deep": (deep(5000), ""),
}


@pytest.mark.parametrize(("body", "pointer"), INVALID.values(), ids=INVALID)
async def test_a_body_that_breaks_the_contract_is_refused_with_a_pointer(rig: Rig, body: bytes, pointer: str) -> None:
    answer = await rig.ask("POST", "/v1/projects", body)
    assert answer.status in (400, 422), answer
    problem = answer.problem(answer.status, answer.json["code"])
    if answer.status == 422 and pointer:
        assert pointer in [error["pointer"] for error in problem["errors"]]
    assert rig.projects.requests == []


async def test_all_faults_are_told_at_once(rig: Rig) -> None:
    problem = (await rig.ask("POST", "/v1/projects", {"name": 7, "labels": [], "x": 1})).problem(
        422, "invalid_argument"
    )
    assert {error["pointer"] for error in problem["errors"]} == {"/name", "/labels", "/x"}
    assert all(error["code"] and error["detail"] for error in problem["errors"])


@pytest.mark.parametrize("name", ["id", "if_match", "update_mask"])
async def test_what_comes_from_elsewhere_is_unknown_in_the_body(rig: Rig, name: str) -> None:
    problem = (await rig.ask("PATCH", ONE, {name: ID})).problem(422, "invalid_argument")
    assert [error["pointer"] for error in problem["errors"]] == [f"/{name}"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("page_size=x", "?page_size"),
        ("page_size=", "?page_size"),
        ("page_size=1.0", "?page_size"),
        ("page_size=99999999999999999999999", "?page_size"),
        ("page_size=1_0", "?page_size"),
        ("page_size=-1", "?page_size"),
        ("page_size=1&page_size=2", "?page_size"),
        ("pageSize=1", "?pageSize"),
        ("x=1", "?x"),
        ("=1", "?"),
        ("page_token=" + "x" * 1025, "?page_token"),
    ],
)
async def test_a_wrong_parameter_is_422_and_named(rig: Rig, query: str, place: str) -> None:
    problem = (await rig.ask("GET", f"/v1/projects?{query}")).problem(422, "invalid_argument")
    assert [error["pointer"] for error in problem["errors"]] == [place]
    assert rig.projects.requests == []


async def test_a_body_leaves_nothing_to_the_query(rig: Rig) -> None:
    problem = (await rig.ask("POST", "/v1/projects?name=y", {"name": "x"})).problem(422, "invalid_argument")
    assert [error["pointer"] for error in problem["errors"]] == ["?name"]


@pytest.mark.parametrize("query", ["page_token=%zz", "page_token=%", "page_token=%ff", "page_token=%00", "%00=1"])
async def test_a_query_that_cannot_be_read_is_400(rig: Rig, query: str) -> None:
    (await rig.ask("GET", f"/v1/projects?{query}")).problem(400, "malformed_query")


BAD_SEGMENTS = ["%", "%zz", "%ff", "%00", "..", ".", "%2e%2e", "%0a", "a%00b", '"', "\udcff", "|", "%ed%a0%80"]


@pytest.mark.parametrize("segment", BAD_SEGMENTS)
async def test_a_path_that_cannot_be_read_is_400(rig: Rig, segment: str) -> None:
    answer = await rig.ask("GET", f"/v1/projects/{segment}")
    assert answer.json["code"] in ("malformed_path", "malformed_request")
    assert answer.status == 400
    assert rig.projects.requests == []


@pytest.mark.parametrize(
    "segment", ["1", "prj_", "usr_01h455vb4pex5vsknk084sn02q", f"{ID}x", ID.upper(), f"{ID}%2Fx", "a:b%3Aarchive", "é"]
)
async def test_a_malformed_id_never_reaches_the_service(rig: Rig, segment: str) -> None:
    answer = await rig.ask("GET", f"/v1/projects/{segment}")
    assert answer.status in (400, 404, 422)
    if answer.status == 422:
        assert [error["pointer"] for error in answer.json["errors"]] == ["{id}"]
    assert rig.projects.requests == []


async def test_an_encoded_id_is_the_id(rig: Rig) -> None:
    assert (await rig.ask("GET", f"/v1/projects/%70{ID[1:]}")).status == 200


async def test_an_encoded_slash_never_changes_the_route(rig: Rig) -> None:
    encoded = f"/v1/projects/{ID}%3Aarchive"
    (await rig.ask("POST", encoded)).problem(405, "method_not_allowed")
    (await rig.ask("GET", "/v1%2Fprojects")).problem(404, "route_not_found")


async def told(rig: Rig, **options: Any) -> Answer:
    return await rig.ask("POST", "/v1/projects", b'{"name":"x"}', **options)


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/json; charset=utf-16", ""])
async def test_another_content_type_is_415(rig: Rig, kind: str) -> None:
    answer = await told(rig, Content_Type=kind)
    answer.problem(415, "unsupported_media_type")
    assert answer.headers["accept"] == "application/json"
    assert rig.projects.requests == []


async def test_a_compressed_body_is_415(rig: Rig) -> None:
    answer = await told(rig, Content_Encoding="gzip")
    answer.problem(415, "unsupported_encoding")
    assert answer.headers["accept-encoding"] == "identity"


# Versions


@pytest.mark.parametrize("given", ['"7"', 'W/"7"', '"6", "7"', '"x",W/"7" ', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_has_the_version_already_gets_304_and_no_body(rig: Rig, method: str, given: str) -> None:
    answer = await rig.ask(method, ONE, If_None_Match=given)
    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == '"7"'
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("given", ['"6"', "7", '"77"', '""', "", '"7'])
async def test_who_has_another_version_gets_this_one(rig: Rig, given: str) -> None:
    answer = await rig.ask("GET", ONE, If_None_Match=given)
    assert (answer.status, answer.json["version"]) == (200, 7)


async def test_after_a_304_the_connection_goes_on(rig: Rig) -> None:
    async with rig.connection() as connection:
        connection.send(rig.request("GET", ONE, If_None_Match='"7"') + rig.request("GET", ONE))
        assert [(await connection.answer()).status for _ in range(2)] == [304, 200]


async def test_a_change_is_no_matter_of_if_none_match(rig: Rig) -> None:
    assert (await rig.ask("PATCH", ONE, {"name": "A"}, If_None_Match='"7"')).status == 200


async def test_what_others_may_not_see_is_not_found_whatever_version_they_name(rig: Rig) -> None:
    answer = await rig.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn03q", If_None_Match="*")
    answer.problem(404, "not_found")


SETTINGS = f"{ONE}/settings"


@pytest.mark.parametrize("given", [{}, {"If_Match": "*"}])
async def test_where_the_contract_demands_a_version_its_lack_is_428_before_the_handler(
    rig: Rig, given: dict[str, str]
) -> None:
    answer = await rig.ask("PATCH", SETTINGS, {"a": 1}, **given)
    assert "If-Match" in answer.problem(428, "precondition_required")["detail"]
    assert rig.settings.requests == []


async def test_with_a_version_it_goes_on(rig: Rig) -> None:
    answer = await rig.ask("PATCH", SETTINGS, {"a": 1}, If_Match='"3"')
    assert (answer.status, answer.headers["etag"]) == (200, '"4"')
    assert [request.if_match for request in rig.settings.requests] == [3]


async def test_a_wrong_body_is_told_before_the_lack_of_a_version(rig: Rig) -> None:
    (await rig.ask("PATCH", SETTINGS, b"{")).problem(400, "malformed_json")
