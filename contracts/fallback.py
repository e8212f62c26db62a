"""Several endpoints in a row: who does not answer is passed over, and asked last from then on.

This is for getting through. What an answer is worth is another matter: see `witnesses`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.errors import ChainError, ChainUnreachable, Garbled
from contracts.rpc import Endpoint, Request


class Fallback:
    """An `Endpoint` made of several; the same signed bytes may reach more than one, which does no harm."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = list(endpoints)

    async def call(self, method: str, *params: Any) -> Any:
        """As `Rpc.call`."""
        (result,) = await self.batch([(method, params)])
        if isinstance(result, ChainError):
            raise result
        return result

    async def batch(self, requests: Sequence[Request]) -> list[Any]:
        """As `Rpc.batch`; raises what the last of them did where none answered."""
        failure: ChainError = ChainUnreachable("there is no endpoint")
        for endpoint in tuple(self._endpoints):
            try:
                return await endpoint.batch(requests)
            except (ChainUnreachable, Garbled) as error:
                failure = error
                self._endpoints.remove(endpoint)
                self._endpoints.append(endpoint)
        raise failure
