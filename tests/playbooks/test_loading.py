"""Loading YAML: valid, or every error with its line, its column and what was expected."""

from pathlib import Path

import pytest

from playbooks.alerts import Alert, Event, Rule, Technique, Threat
from playbooks.gates import GateSpec
from playbooks.loading import PlaybookInvalid, choose, load_catalog, load_detections, load_playbook
from playbooks.playbook import Playbook

ROOT = Path(__file__).parents[2] / "playbooks"
SMALL = "name: {name}\ntitle: A title\nmatch: {{rules: [{rule}]}}\n"


def lines_of(text: str) -> list[str]:
    with pytest.raises(PlaybookInvalid) as caught:
        load_playbook(text, "web.yaml")
    return caught.value.summary.splitlines()


def small(name: str, *, rule: str = "Rule") -> str:
    return SMALL.format(name=name, rule=rule)


def alert(rule: str, *, severity: int = 50, technique: str | None = None) -> Alert:
    techniques = (Technique(id=technique),) if technique else ()
    return Alert(rule=Rule(name=rule), event=Event(severity=severity), threat=Threat(technique=techniques))


def test_the_catalog_that_ships_is_valid_and_in_the_order_of_its_files() -> None:
    assert [p.name for p in load_catalog(ROOT / "catalog")] == [
        "known-bad-destination",
        "lateral-movement-gated",
        "lateral-movement",
        "requested-containment",
    ]


def test_lateral_movement_contains_at_once_and_kills_only_behind_a_gate() -> None:
    playbook = next(p for p in load_catalog(ROOT / "catalog") if p.name == "lateral-movement")

    assert playbook.contain.gate is None
    assert (playbook.contain.lease.ttl_seconds, playbook.contain.lease.ends) == (900, "open")
    assert playbook.forensics.capture_seconds == 3
    assert playbook.remediate.action == "kill-process-group"
    assert playbook.remediate.gate == GateSpec(
        quorum=1, roles=("approver", "admin"), deadline_seconds=3600, on_deadline="deny"
    )
    assert playbook.release.when == "decision"


def test_the_shipped_detection_names_a_rule_that_a_shipped_playbook_answers() -> None:
    (detection,) = load_detections(ROOT / "detections")
    chosen = choose(load_catalog(ROOT / "catalog"), alert(detection.rule, severity=detection.severity))

    assert chosen is not None
    assert chosen.name == "lateral-movement"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "name: a\ntitle: b\nmatch:\n  techniqes: [T1]\n",
            (
                "web.yaml:4:3: match.techniqes: expected one of min_severity, rules, techniques, "
                "found the unknown field 'techniqes' (did you mean techniques?)"
            ),
        ),
        (
            small("a") + "contain:\n  lease: {ttl: 5}\n",
            (
                "web.yaml:5:11: contain.lease.ttl: expected one of ends, max_seconds, ttl_seconds, "
                "found the unknown field 'ttl' (did you mean ttl_seconds?)"
            ),
        ),
        (
            small("a") + "contain:\n  lease:\n    ends: ajar\n",
            "web.yaml:6:11: contain.lease.ends: expected open or closed, found 'ajar'",
        ),
        (
            small("a") + "contain:\n  gate:\n    quorum: '1'\n",
            (
                "web.yaml:6:13: contain.gate.quorum: expected a whole number, found '1' "
                "(leave the quotes out if it is meant as a number)"
            ),
        ),
        (
            small("a") + "contain:\n  gate:\n    quorum: yes\n",
            "web.yaml:6:13: contain.gate.quorum: expected a whole number, found true",
        ),
        (
            small("a") + "contain:\n  gate: {roles: []}\n",
            "web.yaml:5:17: contain.gate.roles: expected at least one entry, found a list of 0",
        ),
        (
            small("a") + "forensics:\n  collect:\n    - sockets\n    - proceses\n",
            (
                "web.yaml:7:7: forensics.collect[1]: expected sockets, processes, conntrack, ruleset, "
                "routes, neighbours, logins, modules, mounts, cron, journal, packages, files or memory, "
                "found 'proceses'"
            ),
        ),
        (
            small("a") + "title: again\n",
            "web.yaml:4:1: title: expected each field once, found it again; the first is on line 2",
        ),
        ("name: a\nmatch: {}\n", "web.yaml:1:1: title: expected this field, found nothing"),
        (
            "name: a b\ntitle: t\nmatch: {}\n",
            (
                "web.yaml:1:7: name: expected a name of letters, digits, dots, dashes and underscores, "
                "a letter or digit at both ends, found 'a b'"
            ),
        ),
        (
            "name: a\ntitle: 5\nmatch: {}\n",
            "web.yaml:2:8: title: expected text, found 5 (put it in quotes if it is meant as text)",
        ),
        ("", "web.yaml:1:1: expected a YAML mapping, found an empty file"),
        ("- a\n", "web.yaml:1:1: expected a mapping, found a list of 1"),
        ("name: [\n", "web.yaml:2:1: expected the node content, found '<stream end>'"),
        ("name: *nobody\n", "web.yaml:1:7: expected valid YAML, found undefined alias 'nobody'"),
        (
            "name: a\n\ttitle: b\n",
            "web.yaml:2:1: expected valid YAML, found character '\\\\t' that cannot start",
        ),
        ("name: a\ntitle: \x07\n", "web.yaml:2:8: expected printable characters, found character 7"),
        ('name: "\\UFFFFFFFF"\n', "web.yaml:1:10: expected valid YAML, found"),
        (
            "a: 1\n---\nb: 2\n",
            "web.yaml:2:1: expected a single document in the stream, found another document",
        ),
        (
            small("a") + "remediate: !!python/object/apply:os.system [id]\n",
            "web.yaml:4:12: remediate: expected a plain value, found the tag",
        ),
        (
            small("a") + "<<: {description: b}\n",
            "web.yaml:4:1: expected a field name, found the merge key << (write the fields out)",
        ),
        (
            small("a") + "yes: 1\n",
            "web.yaml:4:1: expected a field name, found 'yes' (put it in quotes if it is meant as a name)",
        ),
        (
            small("a") + f"forensics: {{capture_seconds: 0x{'f' * 5000}}}\n",
            "web.yaml:4:30: forensics.capture_seconds: expected a number of at most 40 characters, found",
        ),
        ("x" * 70_000, "web.yaml:1:1: expected at most 65536 characters, found 70000"),
        ("[" * 5_000, "web.yaml:1:25: expected valid YAML, found more than 24 levels"),
    ],
)
def test_a_broken_playbook_is_refused_with_the_place_and_what_was_expected(text: str, line: str) -> None:
    assert any(found.startswith(line) for found in lines_of(text)), lines_of(text)


def test_every_error_of_a_file_is_told_at_once_in_the_order_of_their_places() -> None:
    text = "name: a b\ntitle: 5\nmatch: {rule: x}\ncontain:\n  max_targets: 0\n  max_targets: 1\nextra: 1\n"

    assert [line.split(": ")[0] for line in lines_of(text)] == [
        "web.yaml:1:7",
        "web.yaml:2:8",
        "web.yaml:3:9",
        "web.yaml:5:16",
        "web.yaml:6:3",
        "web.yaml:7:1",
    ]


def test_a_list_is_not_called_too_short_because_of_an_entry_that_was_refused() -> None:
    assert len(lines_of(small("a") + "contain: {gate: {roles: [aprover]}}\n")) == 1


def test_the_message_ends_with_what_to_do_and_carries_no_pydantic_words() -> None:
    with pytest.raises(PlaybookInvalid) as caught:
        load_playbook("name: 1\n", "web.yaml")

    assert str(caught.value).endswith("Nothing was loaded: correct this and start again.")
    assert "pydantic" not in str(caught.value).lower()


def test_aliases_that_would_grow_without_bound_are_refused() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert "at most 5000 values" in lines_of("\n".join(rows))[0]


def test_an_alias_to_itself_is_refused() -> None:
    assert "at most 5000 values" in lines_of("name: &a [*a]\n")[0]


def test_a_plain_alias_is_a_way_to_say_a_thing_once() -> None:
    text = small("a") + "contain: {gate: &two {quorum: 2}}\nremediate: {action: none, gate: *two}\n"

    playbook = load_playbook(text, "web.yaml")

    assert playbook.remediate.gate == playbook.contain.gate == GateSpec(quorum=2)


def test_an_unknown_field_of_a_mode_is_told_where_it_stands() -> None:
    text = (ROOT / "catalog" / "known-bad-destination.yaml").read_text()
    services = "kind: block-port\n    services: [{port: 22, directon: in}]"

    with pytest.raises(PlaybookInvalid) as refused:
        load_playbook(text.replace("kind: block-alerted-peer", services), "x.yaml")

    (problem,) = refused.value.problems
    assert problem.path == ("contain", "mode", "services", 0, "directon")
    assert "did you mean direction?" in problem.line


def test_a_catalog_refuses_two_playbooks_of_one_name_and_names_both_files(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(small("same"))
    (tmp_path / "a.yaml").write_text(small("same"))

    with pytest.raises(PlaybookInvalid, match=r"b\.yaml:1:1: name: .* found 'same', which a\.yaml has already"):
        load_catalog(tmp_path)


def test_a_catalog_tells_the_errors_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\n")
    (tmp_path / "b.yml").write_bytes(b"name: \xff\n")
    (tmp_path / "c.yaml").mkdir()
    (tmp_path / "d.yaml").write_text(small("d"))
    (tmp_path / "README.md").write_text("no playbook")

    with pytest.raises(PlaybookInvalid) as caught:
        load_catalog(tmp_path)

    assert {problem.source for problem in caught.value.problems} == {"a.yaml", "b.yml", "c.yaml"}
    assert "b.yml:1:7: expected UTF-8, found byte 0xff at offset 6" in caught.value.summary


def test_a_catalog_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaybookInvalid, match="expected a folder of YAML files"):
        load_catalog(tmp_path / "nowhere")


def playbooks(*rules: str, techniques: tuple[str, ...] = (), least: int = 0) -> tuple[Playbook, ...]:
    return tuple(
        Playbook.model_validate(
            {
                "name": f"p{index}",
                "title": "t",
                "match": {"rules": [rule] if rule else [], "techniques": techniques, "min_severity": least},
            }
        )
        for index, rule in enumerate(rules)
    )


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (("*", "Denied*", "Denied twice"), "p2"),
        (("Denied*", "Denied tw*", "*"), "p1"),
        (("Denied*", "Denied*"), "p0"),
        (("", "D*"), "p1"),
        (("", "Allowed"), "p0"),
    ],
)
def test_the_most_specific_playbook_is_chosen_and_the_first_of_equals(rules: tuple[str, ...], chosen: str) -> None:
    found = choose(playbooks(*rules, techniques=("T1021",)), alert("Denied twice", technique="T1021"))

    assert found is not None
    assert found.name == chosen


def test_no_playbook_is_chosen_for_an_alert_below_its_severity_or_of_another_rule() -> None:
    assert choose(playbooks("Denied", least=60), alert("Denied", severity=59)) is None
    assert choose(playbooks("Denied"), alert("Allowed")) is None
    assert choose((), alert("Denied")) is None
