"""Everything that is written in a contract is read out of it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from acme.codegen import descriptors
from acme.contract import Cache, Contracts, Event, Field, Format, Kind, Method, Route, Rules, Work, load
from acme.contract.load import DESCRIPTORS, HOME, check

OURS = load("acme.contracts")


@pytest.fixture
def methods(trial: Contracts) -> dict[str, Method]:
    return {method.name: method for method in trial.services["trial.v1.Trials"].methods}


@pytest.fixture
def fields(trial: Contracts) -> dict[str, Field]:
    return {f.name: f for f in trial.messages["trial.v1.Everything"].fields}


def test_routes_come_from_google_api_http_with_their_bindings(methods: dict[str, Method]) -> None:
    assert methods["TryEverything"].routes == (
        Route("POST", "/v1/trials", "*"),
        Route("PUT", "/v1/trials/{string}", "*"),
    )
    assert methods["Within"].routes == ()


def test_access_is_permission_public_or_internal(methods: dict[str, Method]) -> None:
    said = {name: (m.permission, m.public, m.internal) for name, m in methods.items()}
    assert said == {
        "TryEverything": ("trials.try", False, None),
        "Patch": ("", True, None),
        "Watch": ("", True, None),
        "Within": ("", False, frozenset({"projects", "users"})),
    }


def test_work_follows_from_the_verb_unless_it_is_said(methods: dict[str, Method]) -> None:
    assert {name: m.work for name, m in methods.items()} == {
        "TryEverything": Work.AUTO,
        "Patch": Work.AUTO,
        "Watch": Work.NONE,
        "Within": Work.MANUAL,
    }


def test_other_options_have_their_defaults(methods: dict[str, Method]) -> None:
    tried, patch, watch, within = (methods[name] for name in ("TryEverything", "Patch", "Watch", "Within"))
    assert (tried.success_status, tried.rate_class, tried.secret_reply, tried.idempotent) == (
        200,
        "heavy",
        False,
        False,
    )
    assert (patch.success_status, patch.rate_class) == (204, "default")
    assert watch.idempotent
    assert within.secret_reply
    assert (watch.client_streaming, watch.server_streaming) == (False, True)
    assert (patch.timeout, patch.cost, patch.cache) == (None, 1, None)
    assert (watch.timeout, watch.cost) == (2.5, 7)


def test_how_long_a_reply_may_be_kept_is_read(tmp_path: Path) -> None:
    (tmp_path / "k.proto").write_text(
        'syntax = "proto3"; package k.v1; import "acme/options/v1/options.proto"; import "google/api/annotations.proto";'
        "message M { string id = 1; } service S { rpc Get(M) returns (M) {"
        ' option (google.api.http) = {get: "/v1/k/{id}"}; option (acme.options.v1.public) = true;'
        " option (acme.options.v1.cache) = {max_age: 60 shared: true}; } }"
    )
    ours = (files(HOME) / DESCRIPTORS).read_bytes()
    made = check({HOME: ours, "k": descriptors(tmp_path, "k_contracts")})
    assert made.services["k.v1.S"].methods[0].cache == Cache(60, shared=True)


def test_a_method_knows_its_path_its_python_name_and_its_messages(methods: dict[str, Method], trial: Contracts) -> None:
    method = methods["TryEverything"]
    assert (method.path, method.attr, method.service) == (
        "/trial.v1.Trials/TryEverything",
        "try_everything",
        "trial.v1.Trials",
    )
    assert method.request is method.reply is trial.messages["trial.v1.Everything"]


def test_comments_belong_to_what_follows_them(trial: Contracts, methods: dict[str, Method]) -> None:
    everything = trial.messages["trial.v1.Everything"]
    fields = {f.name: f for f in everything.fields}
    assert methods["TryEverything"].comment == "Takes everything and gives it back.\n\nIn two paragraphs."
    assert trial.services["trial.v1.Trials"].comment == "Tries everything."
    assert (everything.comment, fields["double"].comment, fields["float"].comment) == ("All types.", "A double.", "")
    colour = fields["colour"].choices
    assert colour is not None
    assert colour.comment == "A colour."
    assert {choice.name: choice.comment for choice in colour.values}["COLOUR_RED"] == "Like a rose."
    assert trial.messages["trial.v1.Everything.Inner"].comment == "What is inside."


def test_classes_and_attributes_are_the_generated_ones(trial: Contracts, fields: dict[str, Field]) -> None:
    everything = trial.messages["trial.v1.Everything"]
    assert everything.cls.__module__ == "trial_contracts.trial.v1"
    assert (fields["class"].attr, fields["from"].attr, fields["string"].attr) == ("class_", "from_", "string")
    assert trial.messages["trial.v1.Everything.Inner"].cls.__name__ == "EverythingInner"
    assert fields["message"].message is trial.messages["trial.v1.Everything.Inner"]
    assert fields["self"].message is everything


def test_maps_have_keys_and_values(fields: dict[str, Field]) -> None:
    field = fields["message_by_string"]
    assert field.key is not None
    assert field.value is not None
    assert (field.key.kind, field.value.kind, field.message) == (Kind.STRING, Kind.MESSAGE, None)


def test_enums_keep_the_names_of_the_contract(fields: dict[str, Field]) -> None:
    choices = fields["colour"].choices
    assert choices is not None
    assert {choice.name: choice.number for choice in choices.values} == {
        "COLOUR_UNSPECIFIED": 0,
        "COLOUR_RED": 1,
        "COLOUR_BLUE": 5,
        "COLOUR_NEGATIVE": -1,
    }
    assert choices.cls(5).name == "BLUE"


def test_rules_are_read_with_what_was_not_said() -> None:
    labels = {f.name: f for f in OURS.messages["acme.projects.v1.CreateProjectRequest"].fields}["labels"]
    assert labels.rules == Rules(
        max_items=64,
        keys=Rules(pattern="[a-z][a-z0-9_-]{0,62}"),
        values=Rules(max_length=256, format=Format.LINE),
    )


def test_personal_data_secrets_headers_and_events_are_marked() -> None:
    request = {f.name: f for f in OURS.messages["acme.users.v1.CreateUserRequest"].fields}
    assert (request["email"].pii, request["email"].secret) == (True, False)
    assert (request["password"].pii, request["password"].secret) == (False, True)
    version = {f.name: f for f in OURS.messages["acme.projects.v1.Project"].fields}["version"]
    assert version.header == "ETag"
    assert (request["password"].example, request["email"].example) == ('"correct horse battery staple"', "")
    created = Event("acme.projects.events", "project_id", "project.organization_id")
    assert OURS.messages["acme.projects.v1.ProjectCreated"].event == created
    assert OURS.messages["acme.projects.v1.Project"].event is None
