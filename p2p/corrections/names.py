"""The names of the library that have to be replaced in place, because it looks them up in the module at each call."""

from __future__ import annotations

import logging
from typing import Any

from libp2p.network.connection import swarm_connection
from libp2p.pubsub import gossipsub as gossipsub_module
from libp2p.pubsub import pubsub as pubsub_module

from p2p.corrections.connections import CorrectedHost

original_record = pubsub_module.env_to_send_in_RPC

# The library warns of every refused connection, with its traceback, and Python prints that where nobody chose a
# handler: strangers could fill our log. LIBP2P_DEBUG installs handlers, and is left alone.
if not logging.getLogger("libp2p").handlers:
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)


def _sender_record(host: Any) -> tuple[bytes, bool]:
    if isinstance(host, CorrectedHost):
        return host.sender_record(), False
    built: tuple[bytes, bool] = original_record(host)
    return built


pubsub_module.env_to_send_in_RPC = _sender_record
gossipsub_module.env_to_send_in_RPC = _sender_record
# `logging.debug(...)` on the root logger installs a handler there: a library must not decide where a program logs
swarm_connection.logging = logging.getLogger("libp2p.network.connection")
