"""Denials as JSON: NFLOG group 5 of each host, turned into lines by ulogd.

Owns ulogd's configuration and start. Never reads the lines: the host's agent tails `denials.jsonl`.

    start(lab["db"])   # -> /state/db/denials.jsonl
    {"dvc": "db", "oob.time.sec": 1924990320, "oob.time.usec": 504982, "oob.prefix": "deny ",
     "oob.in": "eth0", "src_ip": "fd77::11", "dest_ip": "fd77::13", "src_port": 39848, "dest_port": 5432, ...}

IPv4 and IPv6 give the same names. `timestamp` has no zone and is UTC here; `oob.time.*` is the kernel's time.
"""

import subprocess
from pathlib import Path

from lab.errors import LabError
from lab.host import LabHost
from lab.policy import DENIAL_GROUP
from lab.waiting import wait_until

FILE_NAME = "denials.jsonl"
_PLUGIN_DIRS = ("/usr/lib/*/ulogd", "/usr/lib/ulogd", "/usr/lib64/ulogd", "/usr/local/lib/ulogd")
_PLUGINS = ("inppkt_NFLOG", "raw2packet_BASE", "filter_IFINDEX", "filter_IP2STR", "output_JSON")
_START_SECONDS = 5.0
# Threshold 1: the kernel would otherwise hold packets back for up to a second to send them in batches.
_TEMPLATE = """[global]
logfile="{state_dir}/ulogd.log"
loglevel=5
{plugins}
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,ip2str1:IP2STR,json1:JSON

[log1]
group={group}
netlink_qthreshold=1

[json1]
sync=1
file="{state_dir}/{file_name}"
device="{name}"
"""


def file_of(host: LabHost) -> Path:
    """Where the host's denials arrive, one JSON object a line."""
    return host.state_dir / FILE_NAME


def plugin_dir() -> Path:
    """The folder of ulogd's plugins on this machine; it depends on the architecture."""
    for pattern in _PLUGIN_DIRS:
        for folder in sorted(Path("/").glob(pattern.lstrip("/"))):
            if all(_plugin(folder, name).exists() for name in _PLUGINS):
                return folder
    raise LabError(
        f"no folder with ulogd's plugins {', '.join(_PLUGINS)}; looked in {', '.join(_PLUGIN_DIRS)}",
        hint="Install them: apt-get install ulogd2 ulogd2-json",
    )


def _plugin(folder: Path, name: str) -> Path:
    return folder / f"ulogd_{name}.so"


def configuration_for(host: LabHost, plugins: Path) -> str:
    """The configuration of ulogd for one host."""
    return _TEMPLATE.format(
        state_dir=host.state_dir,
        plugins="\n".join(f'plugin="{_plugin(plugins, name)}"' for name in _PLUGINS),
        group=DENIAL_GROUP,
        file_name=FILE_NAME,
        name=host.name,
    )


def start(host: LabHost) -> subprocess.Popen[bytes]:
    """Start ulogd on a host; returns once the kernel has it as the listener of the group."""
    configuration = host.state_dir / "ulogd.conf"
    configuration.write_text(configuration_for(host, plugin_dir()), encoding="utf-8")
    ulogd = host.popen(["ulogd", "-c", str(configuration)], env={"TZ": "UTC"}, log=host.state_dir / "ulogd.out")
    wait_until(lambda: _listening(host, ulogd), _START_SECONDS, f"ulogd on {host.name} to listen to group 5")
    return ulogd


def _listening(host: LabHost, ulogd: subprocess.Popen[bytes]) -> bool:
    if ulogd.poll() is not None:
        log = host.state_dir / "ulogd.log"
        raise LabError(f"ulogd on {host.name} ended with {ulogd.returncode}", hint=f"See {log}.")
    # /proc/net is the main thread's view: thread-self is the one that entered the host.
    listeners = Path("/proc/thread-self/net/netfilter/nfnetlink_log")
    table = host.call(lambda: listeners.read_text(encoding="ascii"))
    return any(line.split()[0] == str(DENIAL_GROUP) for line in table.splitlines())
