"""Playbooks of the end-to-end tests: short leases, short captures."""

from pathlib import Path

from api.processes.describe import CATALOG

PLAYBOOKS = {
    "quick": """\
name: quick
title: Contain at once, collect, release by a person
match: {rules: ["Quick*"]}
contain: {lease: {ttl_seconds: 60, ends: open}, max_targets: 3}
forensics: {capture_seconds: 1, budget_seconds: 10, collect: [sockets]}
remediate: {action: none}
""",
    "short-lease": """\
name: short-lease
title: A lease that ends soon
match: {rules: ["Short lease*"]}
contain: {lease: {ttl_seconds: 10, ends: open}}
forensics: {capture_seconds: 1, budget_seconds: 10, collect: [sockets]}
remediate: {action: none}
""",
    "repair": """\
name: repair
title: Contain at once, end the intruder if people agree
match: {rules: ["Repair*"]}
contain: {lease: {ttl_seconds: 60, ends: open}}
forensics: {capture_seconds: 1, budget_seconds: 10, collect: [sockets, processes]}
remediate: {action: kill-process-group, gate: {roles: [approver]}}
""",
    "gated": """\
name: gated
title: People decide on the isolation
match: {rules: ["Gated*"]}
contain: {lease: {ttl_seconds: 60, ends: open}, gate: {roles: [approver], deadline_seconds: 600}}
forensics: {capture_seconds: 1, budget_seconds: 10, collect: [sockets]}
remediate: {action: none}
""",
}


def _requested() -> str:
    """What answers a person who asks: the one that ships."""
    return (CATALOG / "requested-containment.yaml").read_text(encoding="utf-8")


def write_playbooks(folder: Path) -> Path:
    """All of them as files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (PLAYBOOKS | {"requested-containment": _requested()}).items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder
