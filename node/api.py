"""The node's HTTP interface for its own user: hand in content, ask for jobs, follow them, look around.

Whoever has the token may spend the node's money, so every request under ``/api/`` must carry it. The `Host` header must
be an IP address or ``localhost``: a page of somebody else's that points its own name at this machine fails on it. A
request that says which page it comes from (`Origin`) must come from this server's own.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from math import ceil
from tempfile import TemporaryFile
from typing import Any

import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.request import ID_BYTES, CheckBy
from agents.request import Request as JobRequest
from content.car import load_car
from content.cid import Cid
from contracts.errors import ChainError
from node.chain_faults import chain_fault
from node.errors import ExitCode, UserError
from node.gateway import gateway_routes
from node.mandate import check_wishes, parse_mandate
from node.metrics import render
from node.peer import Peer
from node.records import record_of
from node.records import write as write_record
from p2p.metrics import CONTENT_TYPE
from protocol.errors import PeerFault
from protocol.job import Job
from protocol.wire import structure

MOST_UPLOAD = 4096 * 1024 * 1024
MOST_JSON = 1024 * 1024
_MOVE = re.compile(r"[0-9a-f]{16}")

Handler = Callable[[Request], Awaitable[Response]]


class Api:
    """Everything that the server answers."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def app(self) -> Starlette:
        """The application: API, gateway, health."""
        routes = [
            Route("/healthz", self._health),
            Route("/metrics", self._guarded(self._metrics, self.peer.scrape_token)),
            Route("/api/v1/status", self._guarded(self._status)),
            Route("/api/v1/offers", self._guarded(self._offers)),
            Route("/api/v1/content", self._guarded(self._content), methods=["POST"]),
            Route("/api/v1/jobs", self._guarded(self._jobs), methods=["GET"]),
            Route("/api/v1/jobs", self._guarded(self._ask), methods=["POST"]),
            Route("/api/v1/jobs/{job}", self._guarded(self._job)),
            Route("/api/v1/jobs/{job}/events", self._guarded(self._events)),
            Route("/api/v1/jobs/{job}/cancel", self._guarded(self._cancel), methods=["POST"]),
            Route("/api/v1/jobs/{job}/record", self._guarded(self._record), methods=["GET"]),
            Route("/api/v1/jobs/{job}/story", self._guarded(self._story), methods=["GET"]),
            Route("/api/v1/wallet/preview", self._guarded(self._preview), methods=["POST"]),
            Route("/api/v1/wallet/{name}", self._guarded(self._move), methods=["POST"]),
            Route("/api/v1/wallet/{name}", self._guarded(self._moved), methods=["GET"]),
            *[
                Route(route.path, self._guarded(_threaded(route.endpoint)))
                for route in gateway_routes(self.peer.workshop.everything, "/api/v1")
            ],
            Route("/api/v1/stop", self._guarded(self._stop), methods=["POST"]),
        ]
        return Starlette(routes=[*routes, *gateway_routes(self.peer.workshop.blocks)])

    def _guarded(self, handler: Handler, other_token: str = "") -> Handler:
        """A handler for whoever has the user's token, or another one that opens only this."""

        async def guarded(request: Request) -> Response:
            problem = self._problem(request, other_token)
            if problem is not None:
                return JSONResponse({"error": problem}, status_code=403)
            try:
                return await handler(request)
            except UserError as fault:
                return JSONResponse({"error": fault.what, "mend": fault.mend, "exit": fault.code}, status_code=400)
            except PeerFault as fault:
                return JSONResponse({"error": str(fault)}, status_code=400)

        return guarded

    def _problem(self, request: Request, other_token: str) -> str | None:
        host = request.headers.get("host", "")
        if not _is_plain_host(host):
            return "this server is asked for by address only, not by a name"
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return "requests of other sites' pages are refused"
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        tokens = [token.encode() for token in (self.peer.token, other_token) if token]
        if not any([secrets.compare_digest(given.encode(), token) for token in tokens]):  # noqa: C419  all, in any case
            return "the token is missing or wrong"
        return None

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _metrics(self, request: Request) -> Response:
        own = render(self.peer.store, self.peer.agents, self.peer.setup.home, self.peer.tasks.failures)
        return Response(own + self.peer.host.metrics(), media_type=CONTENT_TYPE)

    async def _status(self, request: Request) -> Response:
        return JSONResponse(await self.peer.status())

    async def _offers(self, request: Request) -> Response:
        return JSONResponse(self.peer.offers())

    async def _content(self, request: Request) -> Response:
        root = Cid.parse(request.query_params.get("root", ""))
        with TemporaryFile() as file:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > MOST_UPLOAD:
                    return JSONResponse({"error": f"more than {MOST_UPLOAD} bytes"}, status_code=413)
                file.write(chunk)
            file.seek(0)
            workshop = self.peer.workshop
            if request.query_params.get("private") != "1":
                await trio.to_thread.run_sync(load_car, file, workshop.blocks, root)
                return JSONResponse({"root": str(root)}, status_code=201)
            await trio.to_thread.run_sync(load_car, file, workshop.everything, root)
        return JSONResponse({"root": str(await workshop.close(root))}, status_code=201)

    async def _jobs(self, request: Request) -> Response:
        found = [
            {"job": job, "started": started, "outcome": ended or "RUNNING", **about}
            for job, started, about, ended in self.peer.store.jobs()
        ]
        return JSONResponse(found)

    async def _ask(self, request: Request) -> Response:
        body = await _json(request)
        try:
            job = structure(_job_from_json(body["job"]), Job)
            mandate = parse_mandate(body)
            check_wishes(mandate.wishes, self.peer.setup.rules, job)
            at_market = body.get("max_price") is None
            most = 0 if at_market else int(body["max_price"])
            request_of = JobRequest(
                id=secrets.token_bytes(ID_BYTES),
                job=job,
                most_pay=most,
                at_market=at_market,
                check_ppm=round(float(body.get("check", 0.1)) * 1_000_000),
                mediators=mandate.mediators,
                deadline=int(self.peer.clock.now() + float(body["wait"])),
                strategy=str(body.get("strategy") or ""),
                wishes=mandate.wishes,
                units=mandate.units or ("job",),
                patience=max(1, ceil(float(body["wait"]))),
                check_by=CheckBy[str(body.get("check_by") or "anybody").upper()],
            )
            about = {"module": dict(body["about"]["module"]), "compare": str(body["about"]["compare"])}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return JSONResponse({"error": f"not a job request: {error!r}"}, status_code=400)
        checks_alone = request_of.check_by is CheckBy.SELF and request_of.check_ppm
        if checks_alone and job.executor not in self.peer.workshop.executors:
            why = f"this node has no {job.executor} executor, so it can't check a result itself"
            mend = "start it with one, or let mediators check (--check-by mediators)"
            return JSONResponse({"error": f"{why}: {mend}"}, status_code=400)
        if request_of.strategy:
            try:
                await self.peer.advisers.add(request_of.strategy)
            except UserError as error:
                return JSONResponse({"error": str(error)}, 400)
        _ = self.peer.buyer  # a node without that role has nothing to ask the chain for
        try:
            missing = await self.peer.can_pay(most, mandate.wishes)
        except ChainError as error:
            return JSONResponse({"error": f"the chain can't be asked: {error}"}, status_code=503)
        if missing:
            self.peer.refuse(request_of, about, missing)
        else:
            self.peer.ask(request_of, about)
        return JSONResponse({"job": request_of.id.hex()}, status_code=201)

    async def _job(self, request: Request) -> Response:
        try:
            return JSONResponse(self.peer.jobs.document(request.path_params["job"]))
        except KeyError:
            return JSONResponse({"error": "no such job"}, status_code=404)

    async def _events(self, request: Request) -> Response:
        job = request.path_params["job"]
        if self.peer.store.job(job) is None:
            return JSONResponse({"error": "no such job"}, status_code=404)

        try:
            after = int(request.query_params.get("after", -1))
        except ValueError:
            return JSONResponse({"error": "after is a number"}, status_code=400)

        async def lines() -> AsyncIterator[bytes]:
            async for number, at, event in self.peer.jobs.follow(job, after):
                yield json.dumps({"number": number, "at": at, **event}).encode() + b"\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def _story(self, request: Request) -> Response:
        job = request.path_params["job"]
        if self.peer.store.job(job) is None:
            return JSONResponse({"error": "no such job"}, status_code=404)
        return JSONResponse([{"at": at, **event} for _, at, event in self.peer.store.events(job)])

    async def _record(self, request: Request) -> Response:
        job, domain = request.path_params["job"], self.peer.setup.rules.domain
        if self.peer.store.job(job) is None:
            return JSONResponse({"error": "no such job"}, status_code=404)
        record = await record_of(job, self.peer.store, self.peer.chain.client, domain)
        return JSONResponse(json.loads(write_record(record)))

    async def _cancel(self, request: Request) -> Response:
        job = request.path_params["job"]
        found = self.peer.store.job(job)
        if found is None:
            return JSONResponse({"error": "no such job"}, status_code=404)
        ended = found[3]
        if ended is not None:
            raise UserError(ExitCode.USAGE, f"job {job} has ended already: {ended}", f"see `lilypad jobs show {job}`")
        self.peer.cancel(bytes.fromhex(job))
        return JSONResponse({"deal": self.peer.jobs.document(job)["deal"]})

    async def _preview(self, request: Request) -> Response:
        return await _money(self.peer.moves.preview(await _wish(request)))

    async def _move(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not _MOVE.fullmatch(name):
            raise PeerFault("the name of a move of money is 16 hex digits")
        return await _money(self.peer.moves.begin(name, await _wish(request)))

    async def _moved(self, request: Request) -> Response:
        return await _money(self.peer.moves.progress(request.path_params["name"]))

    async def _stop(self, request: Request) -> Response:
        self.peer.stop.set()
        return JSONResponse({})


def _threaded(handler: Callable[[Request], Response]) -> Handler:
    async def threaded(request: Request) -> Response:
        return await trio.to_thread.run_sync(handler, request)

    return threaded


def _is_plain_host(host: str) -> bool:
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    name = name.strip("[]")
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _wish(request: Request) -> dict[str, Any]:
    wish = await _json(request)
    try:
        amount, to = wish.get("amount"), str(wish.get("to") or "").removeprefix("0x")
        sound = (amount is None or 0 < int(amount) < 2**96) and len(bytes.fromhex(to)) in (0, 20)
        found = {"what": str(wish["what"]), "amount": amount, "to": to, "may": bool(wish.get("may", True))}
    except (KeyError, TypeError, ValueError) as error:
        raise PeerFault(f"not a move of money: {error!r}") from error
    if not sound:
        raise PeerFault("not a move of money: an amount or an address is out of range")
    return found


async def _money(told: Awaitable[dict[str, Any]]) -> Response:
    try:
        return JSONResponse(await told)
    except ChainError as error:
        fault = chain_fault(error)
        said = {"error": f"the chain can't be asked: {fault.what}", "mend": fault.mend, "exit": fault.code}
        return JSONResponse(said, status_code=503)


async def _json(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_JSON:
            raise PeerFault(f"more than {MOST_JSON} bytes of JSON")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise PeerFault(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise PeerFault("not a JSON object")
    return found


def _job_from_json(job: dict[str, Any]) -> dict[str, Any]:
    return {**job, "seed": bytes.fromhex(job["seed"])}
