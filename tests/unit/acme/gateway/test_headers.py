"""What headers ask for, read strictly."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from acme.errors import Malformed
from acme.gateway.headers import RequestIds, check_content, timeout, trace
from acme.gateway.problems import Rejected
from acme.gateway.server import Headers


def headers(**given: str) -> Headers:
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in given.items()}))


@pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 64])
def test_a_plain_request_id_of_the_client_is_kept(given: str) -> None:
    assert RequestIds().of(headers(X_Request_Id=given)) == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "é", "a\tb", "a/b", "a\n"])
def test_any_other_request_id_is_replaced(given: str) -> None:
    ids = RequestIds()
    assert ids.of(headers(X_Request_Id=given)) != given
    assert ids.of(headers()) != ids.of(headers())


@pytest.mark.parametrize(
    ("given", "seconds"), [("2.5", 2.5), ("1", 1.0), ("0.001", 0.001), ("60", 60.0), ("61", 60.0), ("999999", 60.0)]
)
def test_a_timeout_is_seconds_up_to_the_cap(given: str, seconds: float) -> None:
    assert timeout(headers(X_Request_Timeout=given), 60.0) == seconds


@pytest.mark.parametrize(
    "given", ["", "0", "0.0", "-1", "1s", "1e3", "nan", "inf", "1,5", " 1", "1_0", "٣", ".5", "5.", "9999999"]
)
def test_a_timeout_that_is_no_number_is_refused(given: str) -> None:
    with pytest.raises(Malformed):
        timeout(headers(X_Request_Timeout=given), 60.0)


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "APPLICATION/JSON"],
)
def test_json_in_utf8_is_taken(kind: str) -> None:
    check_content(headers(Content_Type=kind, Content_Encoding="identity"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Content_Type": ""},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/jsonp"},
        {"Content_Type": "application/json; charset=latin-1"},
        {"Content_Type": "application/json, text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "multipart/form-data; boundary=x"},
        {"Content_Type": "application/json", "Content_Encoding": "gzip"},
        {"Content_Type": "application/json", "Content_Encoding": "identity, gzip"},
    ],
)
def test_any_other_content_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(Rejected) as caught:
        check_content(headers(**given))
    assert caught.value.status == 415


def test_a_trace_is_passed_on_when_it_is_one() -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert trace(headers(traceparent=good)) == good
    assert trace(headers(traceparent=good + "x")) == ""
    assert trace(headers()) == ""
