"""Finding and paging: which rows of many are shown.

Owns the search (a part of the text, capitals don't matter) and the page. Nothing that is not shown is kept.
"""

import math
from typing import Generic, TypeVar

from activities.evidence.preview.documents import MAX_ROWS, Paged

Row = TypeVar("Row")


class Rows(Generic[Row]):
    """The rows of one page, out of as many as come by."""

    def __init__(self, q: str, page: int, *, per_page: int = MAX_ROWS) -> None:
        self._needle = q.lower()
        self._first, self._end = (page - 1) * per_page, page * per_page
        self._page, self._per_page = page, per_page
        self.total = self.matching = 0
        self.kept: list[Row] = []

    def wants(self, text: str) -> bool:
        """Count one row by the text it is searched in; whether it stands on this page."""
        self.total += 1
        if self._needle and self._needle not in text.lower():
            return False
        self.matching += 1
        return self._first < self.matching <= self._end

    def paged(self) -> Paged:
        """Where this page is among all."""
        pages = max(1, math.ceil(self.matching / self._per_page))
        return Paged(total=self.total, matching=self.matching, page=self._page, pages=pages)
