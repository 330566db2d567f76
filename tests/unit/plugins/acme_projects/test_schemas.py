"""Schemas are taken when they are JSON Schema and bounded, and settings are merged by RFC 7396."""

from __future__ import annotations

import copy
import time
from typing import Any, Final

import pytest
from acme_projects.schemas import COSTLIEST, FAULTS, LARGEST, MOST, PATTERN, compiled, faults, merged
from hypothesis import given
from hypothesis import strategies as st

from acme import Invalid

THEME: Final = {
    "type": "object",
    "properties": {"theme": {"enum": ["dark", "light"]}, "size": {"$ref": "#/$defs/size"}},
    "unevaluatedProperties": False,
    "$defs": {"size": {"type": "integer", "minimum": 1}},
}


def test_values_that_fit_have_no_faults() -> None:
    assert list(faults(compiled(THEME), {"theme": "dark", "size": 2.0}, "/patch")) == []


def test_each_fault_is_named_by_its_pointer() -> None:
    found = list(faults(compiled(THEME), {"theme": "red", "size": 0, "a/b": 1}, "/patch"))
    assert {fault.pointer for fault in found} == {"/patch/theme", "/patch/size", "/patch"}


def test_faults_are_bounded() -> None:
    schema = {"additionalProperties": {"type": "string"}}
    assert len(list(faults(compiled(schema), {str(number): number for number in range(1000)}, ""))) == FAULTS


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"type": "nope"}, "/schema/type"),
        ({"properties": {"a": {"pattern": "("}}}, "/schema/properties/a/pattern"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "/schema/properties/a/pattern"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/schema/$schema"),
        ({"$ref": "https://example.com/schema"}, "/schema/$ref"),
        ({"$ref": "file:///etc/passwd"}, "/schema/$ref"),
        ({"$ref": "#"}, "/schema/$ref"),
        ({"$ref": "#/$defs/none"}, "/schema/$ref"),
        ({"$dynamicRef": "#a"}, "/schema/$dynamicRef"),
        ({"properties": {"a": {"$id": "https://example.com/"}}}, "/schema/properties/a/$id"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}, "/schema/$defs/a/items/$ref"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "/schema/$defs/b/$ref"),
        ({"default": "x" * LARGEST}, "/schema"),
    ],
)
def test_a_schema_that_cannot_be_kept_to_is_refused_with_its_place(schema: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        compiled(schema)
    assert caught.value.reason == "invalid_schema"
    assert caught.value.faults[0].pointer == pointer


def test_properties_may_have_the_names_of_keywords() -> None:
    schema = {
        "properties": {"$ref": {"type": "string"}, "default": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"type": "null"}},
    }
    found = list(faults(compiled(schema), {"$ref": 1, "default": 1}, ""))
    assert {fault.pointer for fault in found} == {"/$ref", "/default"}


def test_a_schema_that_unfolds_without_bounds_is_refused_before_it_costs_anything() -> None:
    doubling = {
        f"d{level}": {"allOf": [{"$ref": f"#/$defs/d{level + 1}"}, {"$ref": f"#/$defs/d{level + 1}"}]}
        for level in range(40)
    } | {"d40": {"type": "object"}}
    with pytest.raises(Invalid, match="no JSON Schema") as caught:
        compiled({"$ref": "#/$defs/d0", "$defs": doubling})
    assert f"more than {MOST} subschemas" in caught.value.faults[0].message


RECURSIVE: Final = {"$ref": "#/$defs/a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"properties": {"$ref": "#/$defs/properties"}}, "$ref": "#/$defs/properties"},
        {"$defs": {"a": {"dependentSchemas": {"properties": RECURSIVE}}}, **RECURSIVE},
        {"$defs": {"a": {"properties": {"properties": {"allOf": [RECURSIVE, RECURSIVE]}}}}, **RECURSIVE},
        {"$defs": {"a": {"patternProperties": {"properties": RECURSIVE}}}, **RECURSIVE},
        {"$defs": {"a": {"properties": {"properties": RECURSIVE, "const": RECURSIVE}}}, **RECURSIVE},
        {"$defs": {"a": {"properties": {"enum": RECURSIVE}}}, **RECURSIVE},
        {"$defs": {"a/not": {}, "a": {"not": {"$ref": "#/$defs/a/not"}}}, **RECURSIVE},
        {"$defs": {"%61": {}, "a": {"$ref": "#/$defs/%61"}}, **RECURSIVE},
        {"$defs": {"~01": {}, "~1": {"$ref": "#/$defs/~01"}}, "$ref": "#/$defs/~01"},
    ],
    ids=str,
)
def test_a_schema_hides_behind_no_name_that_it_contains_itself(schema: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        compiled(schema)
    assert caught.value.reason == "invalid_schema"


def test_properties_with_the_names_of_maps_may_refer() -> None:
    schema = compiled({"properties": {"properties": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "null"}}})
    assert [fault.pointer for fault in faults(schema, {"properties": 1}, "")] == ["/properties"]


def test_what_many_values_break_many_times_is_said_once_and_costs_little() -> None:
    schema = compiled({"additionalProperties": {"allOf": [{"type": "string"}] * (MOST // 2)}})
    begun = time.process_time()
    found = list(faults(schema, {str(number): number for number in range(1000)}, ""))
    assert [fault.code for fault in found] == ["settings_schema"]
    assert time.process_time() - begun < 2, "finding all million faults takes gigabytes and a minute"


def test_what_is_looked_at_again_on_every_level_cannot_be_many_levels() -> None:
    schema: dict[str, Any] = {"properties": {"a": {}}, "unevaluatedProperties": True}
    compiled({"allOf": [{"allOf": [schema], "unevaluatedProperties": False}], "unevaluatedProperties": False})
    for _ in range(20):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    with pytest.raises(Invalid):
        compiled(schema)


def test_values_that_a_schema_names_count() -> None:
    compiled({"enum": list(range(600))})
    with pytest.raises(Invalid):
        compiled({"additionalProperties": {"enum": list(range(MOST))}})


def test_what_could_cost_too_much_together_is_refused_before_it_is_looked_at() -> None:
    schema = compiled({"additionalProperties": {"allOf": [{}] * (MOST // 2)}})
    found = list(faults(schema, {str(number): 1 for number in range(COSTLIEST // (MOST // 2) + 1)}, "/patch"))
    assert [(fault.pointer, "too large" in fault.message) for fault in found] == [("/patch", True)]


@pytest.mark.parametrize(
    "many",
    [
        {"patternProperties": {f"a{n}": {} for n in range(MOST // PATTERN)}},
        {"allOf": [{"pattern": f"a{n}"} for n in range(MOST // PATTERN)]},
    ],
)
def test_regular_expressions_count_for_what_they_take(many: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        compiled(many)


def test_patterns_that_make_others_backtrack_for_ages_are_matched_in_linear_time() -> None:
    validator = compiled({"pattern": "^(a+)+$"})
    begun = time.process_time()
    assert list(faults(validator, "a" * 30_000 + "b", ""))
    assert time.process_time() - begun < 5, "a backtracking engine needs longer than the universe has lasted"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_of_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


OBJECTS: Final = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=3,
)


@given(OBJECTS, OBJECTS)
def test_a_patch_applied_twice_is_a_patch_applied_once_and_alters_nothing(target: Any, patch: Any) -> None:
    before = copy.deepcopy((target, patch))
    once = merged(target, patch)
    assert merged(once, patch) == once
    assert (target, patch) == before
