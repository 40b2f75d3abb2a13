"""A taken host that answers too much costs its own order, in clear words, and nobody else's."""

from typing import Any

import pytest
from pydantic import RootModel

from activities.contracts.collecting import MAX_ITEMS
from tests.workflows.case import Case
from tests.workflows.cast import INTRUDER, playbook

FORENSICS = {"capture_seconds": 1, "collect": ["sockets"]}
MANY: list[Any] = [INTRUDER.model_dump(mode="json")] * 1000
LIES: list[tuple[str, Any, str]] = [
    ("collect_volatile", {"items": [{}] * (MAX_ITEMS + 1)}, "that is no Collected: items"),
    (
        "collect_volatile",
        {"items": [{"evidence_id": "x" * (1700 << 10)}]},
        "bytes, an honest Collected has 1572864 at most",
    ),
    ("collect_volatile", {"items": [], "x" * 5000: 1}, "that is no Collected: xxx"),
    ("find_intruders", {"processes": MANY}, "that is no Intruders: processes: Tuple should have at most 64 items"),
    ("find_intruders", "word " * 300_000, "bytes, an honest Intruders has 1048576 at most"),
]


@pytest.mark.parametrize(("verb", "lie", "words"), LIES, ids=[f"{verb}-{n}" for n, (verb, _, _) in enumerate(LIES)])
async def test_an_answer_that_is_too_much_is_a_problem_of_its_own(case: Case, verb: str, lie: Any, words: str) -> None:
    case.web.lies[verb] = RootModel[Any](lie)
    await case.play(playbook=playbook(forensics=FORENSICS))
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)

    (said,) = (line for line in case.desk.said("forensics-problem") if line.startswith(f"{verb}: "))
    assert f"web answered {verb} " in said
    assert words in said
    assert len(said) < 600
    assert "ring.json" in {item.name for item in case.desk.snapshot.evidence}


async def test_a_collection_of_many_items_of_somebody_else_is_told_in_few_words(case: Case) -> None:
    case.desk.refuses = "sockets.json"
    honest = case.web.workload
    items = [foreign(honest.workload_id, number) for number in range(100)]
    case.web.lies["collect_volatile"] = RootModel[Any]({"items": items})
    await case.play(playbook=playbook(forensics=FORENSICS))
    await case.desk.until(lambda _: "evidence-collected" in case.desk.kinds)

    lines = [line for line in case.desk.said("forensics-problem") if "is no item of" in line or "more" in line]
    assert 0 < len(lines) <= 5
    assert lines[-1] == f"and {len(items) - 4} more"


def foreign(host_id: str, number: int) -> dict[str, Any]:
    moment = "2031-05-01T12:00:00Z"
    return {
        "evidence_id": f"{host_id}.sockets-{number}",
        "kind": "volatile",
        "name": "sockets.json",
        "media_type": "application/json",
        "outcome": {"state": "missing"},
        "source": {"resource_id": host_id, "host": "web"},
        "acquisition": {"tool": "ss", "started": moment, "ended": moment},
        "volatility_rank": 1,
    }
