"""Who an agent is when it starts."""

from base64 import b64encode
from pathlib import Path

import pytest

from api.processes.agent import NotJoined, identify
from api.processes.joining import Identity, JoinUnreachable, save_identity
from api.settings import AgentSettings, load
from segmentation.workloads import Workload

NOBODY = "http://127.0.0.1:9"


def identity() -> Identity:
    return Identity(
        workload=Workload(workload_id="h1", name="web"),
        control_public_key=b64encode(b"k" * 32).decode(),
        temporal_address="127.0.0.1:7233",
        temporal_namespace="default",
        api_url=NOBODY,
    )


def test_agent_that_never_joined_says_how(tmp_path: Path) -> None:
    with pytest.raises(NotJoined) as refused:
        identify(load(AgentSettings, None, state_dir=tmp_path), None, None)
    assert "firebreak agent --join" in refused.value.hint


def test_first_join_that_nobody_answers_fails(tmp_path: Path) -> None:
    settings = load(AgentSettings, None, state_dir=tmp_path, host_id="h1", name="web")
    with pytest.raises(JoinUnreachable, match="could not be reached"):
        identify(settings, NOBODY, "a token")


def test_host_that_comes_back_while_nobody_answers_is_who_it_was(tmp_path: Path) -> None:
    settings = load(AgentSettings, None, state_dir=tmp_path, host_id="h1", name="web")
    save_identity(tmp_path, identity())
    assert identify(settings, NOBODY, "a token that may have expired") == identity()
