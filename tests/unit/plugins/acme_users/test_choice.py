"""Which passwords may be chosen."""

from __future__ import annotations

import pytest
from acme_users.blocklist import Blocklist
from acme_users.choice import LEAST, LONGEST, SHORTEST, Choice, personal, trivial
from hypothesis import given
from hypothesis import strategies as st

from acme import Invalid

OWN = ("ann.lee@example.com", "Ann Lee")


@pytest.fixture(scope="module")
def choice() -> Choice:
    return Choice(Blocklist(["Correct Horse Battery"]), ["acme.example", "id.acme.example:8080"])


def broken(choice: Choice, password: str) -> str:
    """The rule that a password breaks, "" for none."""
    try:
        choice.check(password, OWN, pointer="/new_password")
    except Invalid as refused:
        return refused.faults[0].code
    return ""


def test_a_refusal_points_at_the_field_and_does_not_repeat_the_password(choice: Choice) -> None:
    with pytest.raises(Invalid) as caught:
        choice.check("correct horse battery", OWN, pointer="/new_password")
    [fault] = caught.value.faults
    assert fault.pointer == "/new_password"
    assert "horse" not in fault.message + caught.value.message


@pytest.mark.parametrize(
    "password",
    [
        "fifteen of them",
        "\U0001f511\U0001f98a\U0001f30a\U0001f3b2\U0001f9ca" * 1
        + "\U0001f40b\U0001f5fb\U0001f9ed\U0001f9f2\U0001f95d"
        + "abcXY",
        "o\ufb03ce \ufb03 \ufb03 fi",  # ligatures: three letters each after NFKC
        "\u00e4b" * 7 + "quite something else " + "x" * 900,
        "the ann of green gables",
        "annlee and a half-moon",
    ],
    ids=["letters", "beyond the BMP", "ligatures", "long", "a name among words", "names and more"],
)
def test_any_characters_make_a_password(choice: Choice, password: str) -> None:
    assert broken(choice, password) == ""


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("", "min_length"),
        ("fourteen chars", "min_length"),
        ("e\u0301n" * 7, "min_length"),  # 21 code points before NFKC, 14 after
        ("xy" * LONGEST, "max_bytes"),
        ("\ufdfa" * 100, "max_bytes"),  # 300 bytes before NFKC, 3,300 after
        ("correct horse battery", "common_password"),
        ("CORRECT HORSE \uff22ATTERY", "common_password"),
        ("ann.lee@example.com", "personal_password"),
        ("ANN.LEE@EXAMPLE.COM", "personal_password"),
        ("lee.ann 19850214", "personal_password"),
        ("AnnLee!AnnLee!2024", "personal_password"),
        ("acme.example 2024-11", "personal_password"),
        ("Acme!!!!!!!!!!!!!!", "trivial_password"),
        ("a" * 40, "trivial_password"),
        (" " * 15, "trivial_password"),
        ("\U0001f511" * 15, "trivial_password"),
        ("abcabcabcabcabcab", "trivial_password"),
        ("1234567890123456", "trivial_password"),
        ("zyxwvutsrqponmlkj", "trivial_password"),
        ("aaaaabbbbbccccc", "trivial_password"),
        ("abcdefgh12345678", "trivial_password"),
    ],
)
def test_the_rule_that_a_password_breaks_is_told(choice: Choice, password: str, code: str) -> None:
    assert broken(choice, password) == code


def test_a_name_of_two_letters_makes_no_password_worse() -> None:
    assert not personal("li 1985-02-14 ...", ["Li"])
    assert personal("lia 1985-02-14 ..", ["Lia"])


def test_a_password_without_any_name_is_not_personal_even_without_letters() -> None:
    assert not personal("2024-11-22 19:41:06", OWN)


@given(st.text(min_size=1, max_size=LEAST - 1), st.integers(min_value=2, max_value=40))
def test_whatever_is_shorter_than_eight_stays_trivial_however_often_it_is_repeated(unit: str, times: int) -> None:
    assert trivial(unit * times)


@given(
    st.integers(min_value=32, max_value=0xD000), st.integers(min_value=3, max_value=100), st.sampled_from([-1, 0, 1])
)
def test_a_run_is_trivial_however_long(start: int, length: int, step: int) -> None:
    assert trivial("".join(chr(start + 200 + step * place) for place in range(length)))


@given(st.lists(st.sampled_from(["horse", "battery", "staple", "river", "cloud"]), min_size=3, max_size=5, unique=True))
def test_words_in_a_row_are_not_trivial(words: list[str]) -> None:
    assert not trivial(" ".join(words))


def test_the_shortest_is_counted_in_code_points_after_nfkc(choice: Choice) -> None:
    assert SHORTEST == 15
    assert broken(choice, "\u1ebfnglish sch\u00f6nes") == ""  # 15 code points of 18 bytes
