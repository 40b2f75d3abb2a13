"""An agent's cut in a process of its own, inside the host: STATE HOST_ID ORDER [killed]. Prints what it answers.

`killed`: it dies by SIGKILL right after the kernel has committed the cut.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from activities.contracts.host import IsolateOrder
from activities.host.killswitch import HostKillswitch
from activities.host.nft import Nft
from activities.orders.journal import OrderJournal
from playbooks.nftables import NftCommand


class LastWords(Nft):
    """Applies one batch."""

    def apply(self, commands: Sequence[NftCommand]) -> None:
        super().apply(commands)
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    state, host_id, document, *killed = sys.argv[1:]
    order = IsolateOrder.model_validate_json(document)
    journal, nft = OrderJournal(Path(state) / "journal.db"), LastWords() if killed else Nft()
    journal.begin(order.header.order_id, "step", 0.0, order.header.expires_at.timestamp())
    done = HostKillswitch(host_id, journal, nft).isolate_host(order)
    nft.close()
    sys.stdout.write(done.model_dump_json())


if __name__ == "__main__":
    main()
