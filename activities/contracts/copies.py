"""How far the vault's copy of a case reaches, as the ledger knows it. Owns that shape alone."""

from pydantic import AwareDatetime, Field

from segmentation.workloads import Frozen


class Copied(Frozen):
    """So many links of each chain were copied to the vault, and were there afterwards; since then only more."""

    manifests: int = Field(ge=0)
    custody: int = Field(ge=0)
    at: AwareDatetime
