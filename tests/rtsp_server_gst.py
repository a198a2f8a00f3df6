"""A real RTSP server, GStreamer's, as a program of its own: ``tests/rtsp_server.py`` starts it and says what it serves.

Runs under the system's Python, because GStreamer's bindings come with the distribution: ``/usr/bin/python3 THIS
--file in.mp4 --record FOLDER``. Prints ``port N`` once it listens, and ends with its standard input.
"""

import argparse
import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

# With config-interval=-1 the payloader repeats the parameter sets before each slice of a key frame, not each key frame.
READ_VIDEO = (
    "filesrc location={file} ! qtdemux name=d "
    "d.video_0 ! queue ! h264parse ! video/x-h264,alignment=au ! rtph264pay name=pay0 pt=96 config-interval=1"
)
READ_AUDIO = "d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97"
LIVE = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! openh264enc gop-size=25 ! h264parse ! video/x-h264,alignment=au ! rtph264pay name=pay0 pt=96 config-interval=1 "
    "audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=1 ! voaacenc ! aacparse ! rtpmp4gpay name=pay1 pt=97"
)
RECORD_VIDEO = "rtph264depay name=depay0 ! h264parse ! matroskamux name=m ! filesink location={file}"
RECORD_AUDIO = "rtpmp4gdepay name=depay1 ! aacparse ! m."


class Recorder(GstRtspServer.RTSPMediaFactory):
    """Takes what is published; each publisher gets a file of its own, ``NAME-1.mkv`` being the first."""

    def __init__(self, launch, folder, name):
        super().__init__()
        self.launch, self.folder, self.name, self.count = launch, folder, name, 0
        self.set_transport_mode(GstRtspServer.RTSPTransportMode.RECORD)
        # Without it the file of a publisher that leaves has no end.
        self.set_eos_shutdown(True)
        self.connect("media-configure", self._configure)

    def do_create_element(self, url):
        # A restarted server goes on counting.
        while os.path.exists(path := os.path.join(self.folder, f"{self.name}-{self.count + 1}.mkv")):
            self.count += 1
        return Gst.parse_launch(f"( {self.launch.format(file=path)} )")

    def _configure(self, _factory, media):
        media.get_element().get_parent().connect("element-added", self._added)

    def _added(self, _pipeline, element):
        # The publisher's RTP time stamps. By default they are corrected by arrival times: after a pause several frames
        # get the same one, h264parse leaves some without, and matroskamux drops those.
        if element.get_factory().get_name() == "rtpbin":
            Gst.util_set_object_arg(element, "buffer-mode", "none")


def factory(launch, *, shared=False):
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(f"( {launch} )")
    made.set_shared(shared)
    return made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--file")
    parser.add_argument("--record")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--digest", action="store_true")
    given = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(given.port)
    mounts = {"/live": factory(LIVE, shared=True)}
    if given.file:
        video = READ_VIDEO.format(file=given.file)
        mounts |= {
            "/file": factory(f"{video} {READ_AUDIO}"),
            "/file-video": factory(video),
            "/camera": factory(f"{video} {READ_AUDIO}", shared=True),
        }
    if given.record:
        mounts |= {
            "/rec": Recorder(f"{RECORD_VIDEO} {RECORD_AUDIO}", given.record, "rec"),
            "/rec-video": Recorder(RECORD_VIDEO, given.record, "rec-video"),
        }
    if given.user:
        auth = GstRtspServer.RTSPAuth()
        if given.digest:
            auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        if given.digest:
            auth.add_digest(given.user, given.password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(given.user, given.password), token)
        server.set_auth(auth)
        role = Gst.Structure.from_string(
            "user, media.factory.access=(boolean)true, media.factory.construct=(boolean)true"
        )
        for one in mounts.values():
            one.add_role_from_structure(role[0])
    points = server.get_mount_points()
    for path, one in mounts.items():
        points.add_factory(path, one)
    if not server.attach(None):
        sys.exit("the port is taken")
    print(f"port {server.get_bound_port()}", flush=True)
    # Sessions of clients that went away without a word are let go.
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    GLib.MainLoop().run()


main()
