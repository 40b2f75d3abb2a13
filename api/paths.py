"""Types of what stands in paths and queries, so that what can't exist is refused before anything is asked."""

from typing import Annotated

from fastapi import Path, Query

_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$"
IncidentId = Annotated[str, Path(pattern=_NAME, examples=["inc-4f0c1d2e3a4b"])]
EvidenceId = Annotated[str, Path(pattern=_NAME, max_length=120, examples=["web-packets-1"])]
HostId = Annotated[str, Path(pattern=_NAME, examples=["4c4c45440042"])]
Purpose = Annotated[str, Query(min_length=3, max_length=500, description="Why it is read; kept in the custody chain.")]
