"""How often somebody may try to sign in: failures are counted by address and by name, in bounded memory.

Names are remembered by their digest: they may be of any length.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any

from migctl.access.identity.secrets import digest
from migctl.backends.protocol import RateLimited
from migctl.clock import Clock

WINDOW = timedelta(minutes=1)
FAILURES_OF_ADDRESS = 20
FAILURES_OF_NAME = 10
MOST_REMEMBERED = 4096


class Attempts:
    """Failed attempts of the last minute.

    A name whose secret others guess stays usable from an address it was used from before: nobody can lock it out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], tuple[datetime, int]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def check(self, address: str, name: str) -> None:
        """Raises RateLimited."""
        address, name = network(address), digest(name)
        self._check("address", address, FAILURES_OF_ADDRESS)
        if (address, name) not in self._known:
            self._check("name", name, FAILURES_OF_NAME)

    def failed(self, address: str, name: str) -> None:
        """Count a failure."""
        for key in (("address", network(address)), ("name", digest(name))):
            since, count = self._failures.pop(key, (self._clock(), 0))
            if self._clock() - since >= WINDOW:
                since, count = self._clock(), 0
            self._failures[key] = (since, count + 1)
        _bound(self._failures)

    def succeeded(self, address: str, name: str) -> None:
        """Remember that this name is used from there."""
        key = network(address), digest(name)
        self._known.pop(key, None)
        self._known[key] = None
        _bound(self._known)

    def _check(self, what: str, value: str, most: int) -> None:
        since, count = self._failures.get((what, value), (self._clock(), 0))
        left = (since + WINDOW - self._clock()).total_seconds()
        if count >= most and left > 0:
            raise RateLimited(
                f"too many failed attempts from this {what}" if what == "address" else "too many failed attempts",
                hint=f"try again in {math.ceil(left)} seconds",
                retry_after_s=math.ceil(left),
            )


def network(address: str) -> str:
    """The address, or for IPv6 the /64 that one subscriber has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


def _bound(remembered: OrderedDict[tuple[str, str], Any]) -> None:
    while len(remembered) > MOST_REMEMBERED:
        remembered.popitem(last=False)
