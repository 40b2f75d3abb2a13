"""What an instance wrote to its console, and what its screen shows.

Owns the collector `console`. EC2 keeps the last 64 KiB of output (EC2 API, GetConsoleOutput).
"""

import base64
from collections.abc import Iterator

from activities.aws.evidence_scene import Answer, Scene, not_of
from activities.contracts.evidence import Outcome
from activities.evidence.platforms.collecting import TEXT_MEDIA_TYPE, Found, Task
from activities.killswitch.platform import PlatformRefused
from segmentation.bounds import cut
from segmentation.errors import FirebreakError

PERMISSIONS = ("ec2:GetConsoleOutput", "ec2:GetConsoleScreenshot")


def collect(scene: Scene, task: Task) -> Iterator[Found]:
    """Two items: the text, and the picture."""
    if scene.kind != "ec2-instance":
        yield not_of("console", scene)
        return
    yield _output(scene)
    task.tell("screenshot")
    yield _screenshot(scene.reading())


def _output(scene: Scene) -> Found:
    try:
        answer = _latest(scene)
    except FirebreakError as error:
        return _failed("console", scene, error)
    # botocore has undone the base64 already.
    text = str(answer.get("Output") or "").encode("utf-8", errors="surrogateescape")
    outcome = Outcome(state="collected") if text else Outcome(state="empty", reason="nothing is in its buffer")
    return Found(
        "console",
        outcome,
        text or None,
        TEXT_MEDIA_TYPE,
        "txt",
        calls=tuple(scene.asked),
        bounds=f"the last 64 KiB, as of {answer.get('Timestamp', 'an unknown time')}",
        events=text.count(b"\n"),
    )


def _latest(scene: Scene) -> Answer:
    try:
        return scene.ask("ec2", "get_console_output", InstanceId=scene.place.name, Latest=True)
    except PlatformRefused:
        # Only instances on Nitro have the latest output; others have what was there at their last start or stop.
        return scene.ask("ec2", "get_console_output", InstanceId=scene.place.name)


def _screenshot(scene: Scene) -> Found:
    label = "console-screenshot"
    try:
        answer = scene.ask("ec2", "get_console_screenshot", InstanceId=scene.place.name, WakeUp=False)
        picture = base64.b64decode(answer.get("ImageData") or "", validate=True)
    except (FirebreakError, ValueError) as error:
        return _failed(label, scene, error)
    outcome = Outcome(state="collected") if picture else Outcome(state="empty", reason="it has no screen")
    return Found(label, outcome, picture or None, "image/jpeg", "jpg", calls=tuple(scene.asked))


def _failed(label: str, scene: Scene, error: Exception) -> Found:
    reason = error.summary if isinstance(error, FirebreakError) else str(error)
    return Found(label, Outcome(state="failed", reason=cut(reason)), calls=tuple(scene.asked))
