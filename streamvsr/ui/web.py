"""The routes of the JSON interface and of the page: one table, which the OpenAPI document is made from, too."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import streamvsr
from streamvsr.errors import StreamvsrError, UsageError
from streamvsr.ui.folders import RefusedError
from streamvsr.ui.hub import MOST_CLIENTS
from streamvsr.ui.server import Conflict, NotFound, Server
from streamvsr.ui.uploads import UploadError

PAGE = Path(__file__).with_name("page")
MOST_BODY_BYTES = 1 << 20
Handler = Callable[[Server, Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    method: str
    path: str
    """Below ``/api/v1``, with ``{names}``."""
    handler: Handler
    summary: str
    query: Mapping[str, str] | None = None
    body: Mapping[str, str] | None = None
    """Field -> what it is."""
    answer: str = "application/json"


class Json(JSONResponse):
    def render(self, content: Any) -> bytes:
        """Also of texts that are no Unicode, as names of files may be."""
        return json.dumps(content).encode()


async def body(request: Request) -> dict[str, Any]:
    """Raises ``UsageError`` for what is no JSON object."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise UsageError("the body has to be application/json")
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MOST_BODY_BYTES:
            raise UploadError(413, "this body is too large")
    try:
        found = json.loads(read)
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is not JSON") from error
    if not isinstance(found, dict):
        raise UsageError("the body has to be a JSON object")
    return found


async def _while_there(request: Request, work: Coroutine[Any, Any, Any]) -> Any:
    """Work that ends where nobody waits for it any more."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
            return Response(status_code=499)
        return task.result()
    finally:
        watch.cancel()


async def _form(server: Server, request: Request) -> Any:
    return server.form(request.query_params.get("lang", "en"))


async def _files(server: Server, request: Request) -> Any:
    return server.files(request.query_params.get("path"))


async def _upload(server: Server, request: Request) -> Any:
    return await server.upload(
        request.query_params.get("name", ""), request.headers.get("content-length"), request.stream()
    )


async def _upload_check(server: Server, request: Request) -> Any:
    return server.upload_check(request.query_params.get("name", ""), request.query_params.get("size"))


async def _look(server: Server, request: Request) -> Any:
    return await _while_there(request, server.look(request.query_params.get("path", "")))


async def _command(server: Server, request: Request) -> Any:
    return await _while_there(request, server.command(await body(request)))


async def _preview(server: Server, request: Request) -> Any:
    return await _while_there(request, server.preview(await body(request)))


async def _forecast(server: Server, request: Request) -> Any:
    return await _while_there(request, server.forecast(await body(request)))


async def _jobs(server: Server, request: Request) -> Any:
    return server.snapshot()


async def _submit(server: Server, request: Request) -> Any:
    return Json(await server.submit(await body(request)), status_code=201)


async def _job(server: Server, request: Request) -> Any:
    return server.job(request.path_params["id"]).shown()


async def _remove(server: Server, request: Request) -> Any:
    return server.remove(request.path_params["id"])


async def _act(server: Server, request: Request) -> Any:
    return server.act(request.path_params["id"], request.path_params["action"])


async def _move(server: Server, request: Request) -> Any:
    return server.move(request.path_params["id"], (await body(request)).get("before"))


async def _compare(server: Server, request: Request) -> Any:
    return Json(server.compare(request.path_params["id"]), status_code=201)


async def _measure(server: Server, request: Request) -> Any:
    return await _while_there(request, server.measure(request.path_params["id"]))


async def _log(server: Server, request: Request) -> Any:
    return Response(server.log(request.path_params["id"]), media_type="text/plain; charset=utf-8")


async def _result(server: Server, request: Request) -> Any:
    path = server.result(request.path_params["id"])
    return FileResponse(path, filename=path.name, content_disposition_type="attachment")


async def _video(server: Server, request: Request) -> Any:
    copied = request.query_params.get("copy") == "1"
    path = server.video(request.path_params["id"], request.path_params["side"], copied)
    if path is None:
        return Json({"making": True}, status_code=202)
    kind = mimetypes.guess_type(path.name)[0] or ""
    # Whatever an input is called, a browser takes it for nothing but a video.
    return FileResponse(path, media_type=kind if kind.startswith("video/") else "application/octet-stream")


async def _pair(server: Server, request: Request) -> Any:
    return server.pair(request.path_params["id"])


async def _pair_side(server: Server, request: Request) -> Any:
    path = server.pair_file(request.path_params["id"], request.path_params["side"])
    return FileResponse(path, headers={"cache-control": "no-store"})


async def _made(server: Server, request: Request) -> Any:
    path = server.helpers.file(request.path_params["key"], request.path_params["name"])
    if path is None:
        raise NotFound("it is not kept any more")
    return FileResponse(path)


async def _events(server: Server, request: Request) -> Any:
    if server.hub.clients >= MOST_CLIENTS:
        raise Conflict("too many pages are open")
    stream: AsyncIterator[str] = server.hub.events({"type": "jobs", **server.snapshot()})
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _openapi(server: Server, request: Request) -> Any:
    return document()


SPEC = {
    "input": "path, or address of a live stream",
    "output": "path; unless given, a new name beside the input",
    "suffix": "of that name, such as .mkv",
    "method": "network or traditional; for a new job also both",
    "preset": "name of a preset",
    "options": "group -> flag -> text, as GET /form lists them",
}
ENDPOINTS = (
    Endpoint("GET", "/openapi.json", _openapi, "this document"),
    Endpoint("GET", "/form", _form, "networks, presets, filters and all options", {"lang": "en or zh"}),
    Endpoint("GET", "/files", _files, "videos and folders that can be chosen", {"path": "a folder; else the allowed"}),
    Endpoint("GET", "/uploads", _upload_check, "whether a file would be taken", {"name": "its name", "size": "bytes"}),
    Endpoint("POST", "/uploads", _upload, "a file, as the body itself", {"name": "of the file"}),
    Endpoint("GET", "/look", _look, "what an input is like, with a strip of frames", {"path": "of the input"}),
    Endpoint("POST", "/command", _command, "the command line of a filled form", body=SPEC),
    Endpoint("POST", "/preview", _preview, "a moment before and after", body={
        **SPEC, "at": "seconds", "seconds": "0: one frame; else a clip, at most 5", "whole": "the whole frame",
    }),
    Endpoint("POST", "/forecast", _forecast, "time, size and memory, from a second of work", body=SPEC),
    Endpoint("GET", "/jobs", _jobs, "all jobs in order"),
    Endpoint("POST", "/jobs", _submit, "submit a job", body={**SPEC, "command": "instead of all others: words"}),
    Endpoint("GET", "/jobs/{id}", _job, "one job"),
    Endpoint("DELETE", "/jobs/{id}", _remove, "forget a job that has ended; its result stays"),
    Endpoint("POST", "/jobs/{id}/move", _move, "change the order", body={"before": "id of another job, or null"}),
    Endpoint("POST", "/jobs/{id}/compare", _compare, "submit a video that compares input and result"),
    Endpoint("POST", "/jobs/{id}/metrics", _measure, "measure a result"),
    Endpoint("GET", "/jobs/{id}/log", _log, "all that it said", answer="text/plain"),
    Endpoint("GET", "/jobs/{id}/result", _result, "the file", answer="application/octet-stream"),
    Endpoint("GET", "/jobs/{id}/video/{side}", _video, "before or after; 202 while a copy is made",
             {"copy": "1: one that every browser plays"}, answer="video/mp4"),
    Endpoint("GET", "/jobs/{id}/pair", _pair, "the current frame; asking for it is what makes the job show it"),
    Endpoint("GET", "/jobs/{id}/pair/{side}", _pair_side, "before or after", answer="image/jpeg"),
    Endpoint("POST", "/jobs/{id}/{action}", _act, "pause, resume, stop, cancel, retry or open (its folder)"),
    Endpoint("GET", "/made/{key}/{name}", _made, "an image or clip that another answer names", answer="image/png"),
    Endpoint("GET", "/events", _events, "server-sent events: jobs (all, first), job, gone",
             answer="text/event-stream"),
)  # fmt: skip


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for one in ENDPOINTS:
        names = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
        parameters = [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names),
            *(
                {"name": name, "in": "query", "description": about, "schema": {"type": "string"}}
                for name, about in (one.query or {}).items()
            ),
        ]
        entry: dict[str, Any] = {
            "summary": one.summary,
            "operationId": one.handler.__name__.strip("_"),
            "responses": {
                "200": {"description": one.summary, "content": {one.answer: {}}},
                "default": {
                    "description": "what is wrong, in a line",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            },
        }
        if parameters:
            entry["parameters"] = parameters
        if one.body is not None:
            fields = {name: {"description": about} for name, about in one.body.items()}
            schema = {"type": "object", "properties": fields}
            entry["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths.setdefault(f"/api/v1{one.path}", {})[one.method.lower()] = entry
    error = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "streamvsr", "version": "1", "description": f"streamvsr {streamvsr.__version__}, docs/ui.md"},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _route(server: Server, one: Endpoint) -> Route:
    async def answer(request: Request) -> Response:
        try:
            found = await one.handler(server, request)
        except NotFound as error:
            return _error(404, error)
        except RefusedError as error:
            return _error(403, error)
        except Conflict as error:
            return _error(409, error)
        except UploadError as error:
            return _error(error.status, error)
        except StreamvsrError as error:
            return _error(422, error)
        except OSError as error:
            return _error(507, f"the disk: {error.strerror or error}")
        return found if isinstance(found, Response) else Json(found, headers={"cache-control": "no-store"})

    return Route(f"/api/v1{one.path}", answer, methods=[one.method])


def _error(status: int, text: object) -> Response:
    from streamvsr.secrets import mask

    return Json({"error": mask(str(text))}, status_code=status)


def application(server: Server) -> Starlette:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await server.start()
        try:
            yield
        finally:
            await server.close()

    async def page(_: Request) -> Response:
        return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})

    routes = [
        Route("/", page),
        *(_route(server, one) for one in ENDPOINTS),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(routes=routes, lifespan=lifespan)
