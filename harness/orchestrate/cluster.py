"""What a run on Ray may be told: where, what travels, how much is queued, whether workers live on."""

from __future__ import annotations

from dataclasses import dataclass

HUNG_SECONDS = 4 * 3600.0
QUEUED_AT_MOST = 200


@dataclass(frozen=True)
class Cluster:
    """address       a Ray cluster; None: $RAY_ADDRESS, else a Ray of this machine alone
    ship          the project's code travels to the workers (hosts without an equal checkout)
    queued        trials that ask Ray for resources at once; the rest wait in the driver
    live_on       worker processes run one trial after the other (short trials on CPU)
    hung_after    seconds without progress after which a trial's process is ended and tried again
    """

    address: str | None = None
    ship: bool = True
    queued: int = QUEUED_AT_MOST
    live_on: bool = False
    hung_after: float = HUNG_SECONDS


HERE = Cluster()
