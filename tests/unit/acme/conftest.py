"""Fixtures of the contract pipeline's tests."""

from tests.trial import trial, trial_folder

__all__ = ["trial", "trial_folder"]
