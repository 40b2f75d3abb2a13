"""The fast path: the first workflow task orders the host, everything else comes after the cut."""

from tests.workflows.case import Case
from tests.workflows.history import events, kinds, scheduled


async def test_nothing_is_recorded_before_the_cut(case: Case) -> None:
    handle = await case.play()
    await case.target("isolated")

    happened = await events(handle)
    print([e['kind']+e.get("activityType", {}).get("name", "") for e in happened])
    await case.release()
    final = await case.finish()
    print(case.desk.kinds, case.desk.calls)
    print([len(r.model_dump_json()) for r in case.desk.records])
    print(final.model_dump_json(indent=1)[:300])
    h = await handle.fetch_history()
    print(len(h.events), len(h.to_json()), h.SerializeToString if hasattr(h,'SerializeToString') else '')
    print(sum(e.ByteSize() for e in h.events))
    print([ (e.event_type, e.ByteSize()) for e in h.events if e.ByteSize()>2000])
