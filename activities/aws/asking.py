"""Questions to AWS that several targets of one incident ask side by side, put into one call.

Owns when a question is sent: at once where none of its kind is under way, and else together with all that are asked
until that one is back, or for a moment. Every answer comes from a call that was sent after it was asked for, so it
proves as much as a call of one's own. Never keeps an answer for whoever asks later.

    Desk().ask(account, INSTANCES, "i-1")   # -> the instance, or None where AWS knows none
"""

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from activities.aws.attributes import Account, Answer, Question

# How long those who ask side by side gather while a call is under way: long enough for threads to arrive, shorter than
# a round trip, so that a call that stays silent holds up nobody.
PATIENCE_SECONDS = 0.02


@dataclass(eq=False)
class _Round:
    """One call, what it is about, and its answer for all who wait for it."""

    about: set[str]
    answer: "Future[Mapping[str, Any]]" = field(default_factory=Future)


class Desk:
    """The questions of one incident to one account and region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gathering: dict[str, _Round] = {}
        self._under_way: dict[str, threading.Lock] = {}

    def ask(self, account: Account, question: Question[Answer], about: str) -> Answer | None:
        """What AWS says about one thing; None where it says nothing."""
        kind = f"{question.name}/{about}" if question.most == 1 else question.name
        joined, is_first = self._join(kind, question.most, about)
        if is_first:
            self._send(kind, account, question, joined)
        found: Mapping[str, Answer] = joined.answer.result()
        return found.get(about)

    def _join(self, kind: str, most: int, about: str) -> tuple[_Round, bool]:
        with self._lock:
            found = self._gathering.get(kind)
            if found is not None and (about in found.about or len(found.about) < most):
                found.about.add(about)
                return found, False
            made = self._gathering[kind] = _Round({about})
            return made, True

    def _send(self, kind: str, account: Account, question: Question[Any], this: _Round) -> None:
        with self._lock:
            turn = self._under_way.setdefault(kind, threading.Lock())
        is_ours = turn.acquire(timeout=PATIENCE_SECONDS)
        try:
            with self._lock:
                # Nobody joins from here on: what is asked while the call is under way is not answered by it.
                if self._gathering.get(kind) is this:
                    del self._gathering[kind]
            this.answer.set_result(question.ask(account, sorted(this.about)))
        except BaseException as error:  # noqa: BLE001 - raised again in everybody who waits for it, ourselves first
            this.answer.set_exception(error)
        finally:
            if is_ours:
                turn.release()
