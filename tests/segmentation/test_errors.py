"""The base error: what its reader is told."""

from typing import ClassVar

from segmentation.errors import FirebreakError


class Busy(FirebreakError):
    """An error that a retry may mend."""

    code: ClassVar[str] = "busy"
    retryable: ClassVar[bool] = True


def test_an_error_tells_what_happened_and_what_to_do() -> None:
    error = FirebreakError("web is protected (role=dns).", hint="Ask its owner.")

    assert (error.summary, error.hint) == ("web is protected (role=dns).", "Ask its owner.")
    assert str(error) == "web is protected (role=dns). Ask its owner."


def test_an_error_without_a_hint_ends_where_it_ends() -> None:
    assert str(FirebreakError("web is protected.")) == "web is protected."


def test_a_kind_of_error_says_whether_trying_again_can_help() -> None:
    assert (FirebreakError.retryable, FirebreakError.code) == (False, "firebreak-error")
    assert (Busy("wait").retryable, Busy("wait").code) == (True, "busy")
