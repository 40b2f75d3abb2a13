"""The captures of an incident, opened with other people's tools: capinfos counts, tcpdump reads.

Owns the comparison with the manifests, and the search for the intruder's packets from before the cut. Reads the vault's
own files; changes nothing.

    figures = check_captures(incident, "10.77.0.11", "10.77.0.13", before_ns=cut_ns)
    figures.agreeing == figures.captures, figures.before_the_cut
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import Field

from lab.errors import LabCommandError
from segmentation.workloads import Frozen

_SECONDS = 60


class CaptureFigures(Frozen):
    """What other tools say of an incident's captures."""

    captures: int
    agreeing: int = Field(description="Captures that open, of which capinfos counts what the manifest says.")
    before_the_cut: int = Field(
        description="The intruder's packets to its target, captured before the first was blocked."
    )


def check_captures(incident: dict[str, Any], source: str, destination: str, before_ns: int | None) -> CaptureFigures:
    """Open every capture that is in the vault."""
    found = list(_captures(incident))
    agreeing = sum(_counted(path) == item["acquisition"]["packets_captured"] for item, path in found)
    limit = (before_ns or 0) / 1e9
    times = [at for _, path in found for at in packet_times(path, f"src host {source} and dst host {destination}")]
    return CaptureFigures(captures=len(found), agreeing=agreeing, before_the_cut=sum(at < limit for at in times))


def packet_times(path: Path, expression: str) -> list[float]:
    """When each packet was captured that matches, in seconds since 1970, as tcpdump reads the file."""
    lines = _run("tcpdump", "-r", str(path), "-n", "-tt", "--", expression).splitlines()
    stamps = (line.split(" ", 1)[0] for line in lines)
    # A packet of several lines has its time in the first alone.
    return [float(stamp) for stamp in stamps if stamp.replace(".", "", 1).isdigit()]


def _captures(incident: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path]]:
    for item in incident["evidence"]:
        if item["kind"] == "packets" and item["storage"]:
            yield item, Path(unquote(urlsplit(item["storage"]["uri"]).path))


def _counted(path: Path) -> int:
    lines = _run("capinfos", "-M", "-c", str(path)).splitlines()
    counts = [line.rpartition(":")[2].strip() for line in lines if line.startswith("Number of packets")]
    return int(counts[0]) if counts else -1


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise LabCommandError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
