"""A refusal carries its kind, a stable reason and its details, and nothing else."""

import pytest

from acme import errors
from acme.errors import Code, Fault, Refused


@pytest.mark.parametrize(
    "kind",
    [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Refused)],
)
def test_every_kind_of_refusal_names_its_code_as_reason(kind: type[Refused]) -> None:
    refused = kind("No.")
    assert refused.reason == refused.code.value == kind.code.value
    assert str(refused) == refused.message == "No."


def test_a_reason_and_faults_of_its_own_stay_with_a_refusal() -> None:
    fault = Fault("/name", "required", "must not be empty")
    refused = errors.Invalid("The request breaks a rule.", reason="name_missing", faults=[fault])
    assert (refused.reason, refused.faults, refused.commit) == ("name_missing", (fault,), False)


def test_unavailable_says_when_to_come_back() -> None:
    assert errors.Unavailable("Busy.").retry_after == 1.0
    assert errors.Unavailable("Busy.", retry_after=7).retry_after == 7


def test_a_code_can_be_given_when_it_is_rebuilt_from_a_wire() -> None:
    assert Refused("Gone.", code=Code.NOT_FOUND).code is Code.NOT_FOUND
