"""Where an output container's bytes go: a file or pipe, or files that the muxer names itself."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer

from streamvsr import part_file
from streamvsr.errors import SinkError, UsageError
from streamvsr.media.mux.atomic_file import AtomicFile, OutputFile, local_path, refuse_existing
from streamvsr.media.mux.options import BUFFER_BYTES, start
from streamvsr.media.mux.timestamps import Timestamps
from streamvsr.media.open_container import open_container


class Transport(ABC):
    """A container that is being written. Its owner adds the streams between ``open`` and ``start``."""

    streamed = False
    """Nothing can be sought in it, or taken back."""
    container: OutputContainer

    def __init__(self, on_warning: Callable[[str], None]) -> None:
        self._warn = on_warning
        self._stamps: dict[int, Timestamps] = {}

    @abstractmethod
    def open(self, format: str, options: Mapping[str, str], own: Mapping[str, str]) -> OutputContainer:
        """``options`` are the user's, which have to be known to the muxer; ``own`` are ours."""

    def start(self, options: Mapping[str, str]) -> str:
        """Write the header; the name of an option that nobody knows, or nothing."""
        unknown = start(self.container, options)
        flags = self.container.format.flags
        self._stamps = {s.index: Timestamps(s, flags, self._warn) for s in self.container.streams}
        return unknown

    def mux(self, packet: av.Packet[Any]) -> None:
        self.container.mux(self._stamps[packet.stream_index].apply(packet))

    def release(self) -> None:
        """From now on what is written may be seen."""

    def request_stop(self) -> None:
        """The run is to end: wait for nobody much longer."""

    @property
    def error(self) -> Exception | None:
        """What FFmpeg may have swallowed."""
        return None

    def break_off(self) -> None:
        """The input has broken off: what ``finish`` leaves must not look complete, where that can be helped."""

    @property
    def kept(self) -> str:
        """After ``break_off`` and ``finish``: where that is."""
        return ""

    def finish(self) -> None:
        """Write the trailer; what was written stands under its final name."""
        self.container.close()

    @abstractmethod
    def abort(self) -> None:
        """Close; never raises."""

    def _close(self) -> None:
        with suppress(Exception):
            self.container.close()


class UrlTransport(Transport):
    """A URL that FFmpeg writes to by itself."""

    streamed = True

    def __init__(self, url: str, on_warning: Callable[[str], None]) -> None:
        super().__init__(on_warning)
        self._url = url

    def open(self, format: str, options: Mapping[str, str], own: Mapping[str, str]) -> OutputContainer:
        self.container = open_container(
            self._url, "w", format=format, options=dict(options), container_options=dict(own), buffer_size=BUFFER_BYTES
        )
        return self.container

    def abort(self) -> None:
        self._close()


class FileTransport(Transport):
    """A file that appears when it is whole, a pipe, a device, or a live recording."""

    def __init__(self, path: str, overwrite: bool | None, *, live: bool, on_warning: Callable[[str], None]) -> None:
        super().__init__(on_warning)
        self._live = live
        self._target = AtomicFile(path, overwrite, in_place=live, on_warning=on_warning)
        self.streamed = self._target.streamed

    def open(self, format: str, options: Mapping[str, str], own: Mapping[str, str]) -> OutputContainer:
        self.container = open_container(
            self._target.file, "w", format=format, options=dict(options), container_options=dict(own),
            buffer_size=BUFFER_BYTES,
        )  # fmt: skip
        return self.container

    def release(self) -> None:
        self._target.file.release()

    def request_stop(self) -> None:
        self._target.file.request_stop()

    @property
    def error(self) -> Exception | None:
        return self._target.file.error

    def break_off(self) -> None:
        self._target.incomplete()

    @property
    def kept(self) -> str:
        return self._target.kept

    def finish(self) -> None:
        super().finish()
        self._target.commit()

    def abort(self) -> None:
        if self._live:
            # What was recorded stays, and is made playable.
            self._close()
            self._target.discard()
        else:
            # First, so that PyAV does not write a trailer to what is thrown away.
            self._target.discard()
            self._close()


class SegmentTransport(Transport):
    """Segments and playlists: each appears under its name when it is whole.

    What is complete stays when the run fails or its input breaks off; what is not is removed, and a playlist keeps its
    last state, without an end mark.
    """

    def __init__(self, path: str, overwrite: bool | None, *, on_warning: Callable[[str], None]) -> None:
        super().__init__(on_warning)
        self._path, self._overwrite = path, overwrite
        self._ours: set[str] = set()
        """What has been written so far. A playlist is written again with every segment."""
        self._open: dict[str, _Part] = {}
        self._failed: Exception | None = None
        self.aborted = self._broke_off = False
        refuse_existing(path, overwrite)
        folder = Path(path).parent
        if not folder.is_dir():
            raise SinkError(f"{path}: there is no folder {folder}")
        if not os.access(folder, os.W_OK):
            raise SinkError(f"{path} may not be written")

    def open(self, format: str, options: Mapping[str, str], own: Mapping[str, str]) -> OutputContainer:
        self.container = open_container(
            self._path, "w", format=format, options=dict(options), container_options=dict(own),
            buffer_size=BUFFER_BYTES, io_open=self._open_part,
        )  # fmt: skip
        return self.container

    def _open_part(self, url: str, flags: int, _options: Mapping[str, str]) -> Any:
        name = local_path(url)
        if not flags & 2:  # AVIO_FLAG_WRITE
            # An mp4 whose index moves to the front is read while it is being written.
            return open(self._open[name].name if name in self._open else name, "rb")
        if self.aborted or self.error is not None:
            # No playlist of what is not there. An error here would be one too many for PyAV, which prints it.
            return open(os.devnull, "wb")
        try:
            ours = name in self._ours
            if not ours:
                refuse_existing(name, self._overwrite)
                self._ours.add(name)
            part = _Part(name, self, replace=ours or self._overwrite is True)
        except (OSError, UsageError) as exc:
            self._failed = self._failed or exc
            raise
        self._open[name] = part
        return part

    def closed(self, part: _Part) -> None:
        """A part has been closed and renamed, or removed."""
        self._failed = self._failed or part.error
        self._open = {name: one for name, one in self._open.items() if one is not part}

    @property
    def error(self) -> Exception | None:
        return self._failed or next((part.error for part in self._open.values() if part.error is not None), None)

    def break_off(self) -> None:
        self._broke_off = True

    @property
    def kept(self) -> str:
        return self._path

    def finish(self) -> None:
        if self._broke_off:
            self.abort()
        else:
            super().finish()

    def abort(self) -> None:
        self.aborted = True
        self._close()
        for part in list(self._open.values()):
            part.close()


class _Part(OutputFile):
    """One file of several: hidden until it is closed."""

    def __init__(self, final: str, transport: SegmentTransport, *, replace: bool) -> None:
        self._part = part_file.PartFile(Path(final), replace=replace)
        super().__init__(str(self._part.path))
        self._owner = transport

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        try:
            if self._owner.aborted or self.error is not None:
                self._part.discard()
            elif (transport := self._part.commit()) != self._part.final:
                raise FileExistsError(
                    errno.EEXIST,
                    f"another '{self._part.final}' has appeared meanwhile, and stays: ours is '{transport}'",
                )
            else:
                part_file.remove(part_file.abandoned(self._part.final))
        except OSError as exc:
            self.error = self.error or exc
        self._owner.closed(self)
