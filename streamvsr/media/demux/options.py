"""Free options of an input: which names are known at all. FFmpeg itself passes over what it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import av

from streamvsr.config import InputOptions
from streamvsr.errors import UsageError, did_you_mean
from streamvsr.secrets import mask_url

_NAMES = """
aa_fixed_key activation_bytes advanced_editlist allowed_extensions allowed_media_types allowed_segment_extensions
analyzeduration audible_fixed_key audible_iv audible_key auth_type auto_convert avioflags bandwidth bit_rate block
block_shift buffer_size ca_file cache_dir cache_timeout cache_verify cafile cert cert_file cert_pem ch_layout
channel channels chars_per_frame code_size codec_whitelist compute_pcr connect content_type cookies
correct_ts_overflow crtc_id cryptokey decryption_iv decryption_key decryption_keys default_delay default_fps device
draw_mouse dscp dump_separator dumpgraph duration_probesize eia608_extract enable_drefs end end_offset err_detect
export_all export_path_metadata export_xmp extension_picky external_sock f_err_detect f_strict fdebug fflags
ffrtmphttp_tls fifo_size fix_teletext_pts flv_full_metadata flv_ignore_prevtag flv_metadata follow follow_mouse
format format_modifier format_whitelist formatprobesize fpsprobesize frame_rate frame_size framerate
frames_per_packet ftp-anonymous-password ftp-password ftp-user gateway grab_x grab_y graph graph_file hca_highkey
hca_lowkey hca_subkey headers http_multiple http_persistent http_proxy http_seekable icy ignore_chapters
ignore_editlist ignore_length ignore_loop indexmem initial_pause initial_request_size input_format interleaved_read
iv key key_file key_pem kind linespeed list_formats list_standards listen listen_timeout live live_start_index
local_addr local_port local_rtcpport local_rtpport localaddr localport localrtcpport localrtpport location loop
m3u8_hold_counters max_delay max_file_size max_fps max_gif_delay max_packet_size max_port max_probe_packets
max_redirects max_reload max_size max_streams max_stts_delta max_ts_probe max_webp_delay merge_alpha
merge_pmt_versions method min_delay min_port mode mtu multiple_requests no_resync_search offset overrun_nonfatal
pattern_type pixel_format pkt_size plane_id post_data prefer_x_start probesize protocol_blacklist protocol_whitelist
raw_packet_size read_ahead_limit read_only reconnect reconnect_at_eof reconnect_delay_max reconnect_delay_total_max
reconnect_max_retries reconnect_on_http_error reconnect_on_network_error reconnect_streamed recursion_depth
recv_buffer_size referer region_border reorder_queue_size request_size respect_retry_after resync_size retry_errors
reuse reuse_socket rtbufsize rtcp_port rtcpport rtmp_app rtmp_buffer rtmp_conn rtmp_flashver rtmp_listen rtmp_live
rtmp_pageurl rtmp_playpath rtmp_subscribe rtmp_swfhash rtmp_swfsize rtmp_swfurl rtmp_swfverify rtmp_tcurl rtp_flags
rtsp_flags rtsp_transport rw_timeout safe sample_rate scan_all_pmts sdp_flags seek2any seek_streams_individually
seekable seg_format_options seg_max_retry segment_time_metadata select_region send_buffer_size short_seek_size
show_region skip_estimate_duration_from_pts skip_initial_bytes skip_unknown_pmt sources srtp_in_params srtp_in_suite
standard start start_number start_number_range start_time strict strict_mime_boundary stride sub_name subfps
tcp_keepalive tcp_mss tcp_nodelay timeout timestamps tls_verify ts ts_from_file ttl type udplite_coverage
use_absolute_path use_libv4l2 use_mfra_for use_odml use_srtp use_tfdt use_wallclock_as_timestamps usebgcolor
user_agent usetoc verify verifyhost video_size window_id write_to_source x y
"""

DEMUXER_OPTIONS = frozenset(_NAMES.split())
"""Of all demuxers and protocols of FFmpeg 8.1 and 9.0, and those that all demuxers share, read from the libraries' own
tables (``av_opt_next``): PyAV does not list them."""


def decoder_options(context: Any) -> frozenset[str]:
    """The options that the decoder of a stream takes: its own, and those that all video decoders share."""
    flags = av.codec.context.OptionFlags
    shared = flags.DECODING_PARAM | flags.VIDEO_PARAM
    known = context.supported_options
    return frozenset([o.name for o in known.private] + [o.name for o in known.generic if o.flags & shared == shared])


def plain_options(options: Mapping[str, str]) -> dict[str, str]:
    """The options without their stream specifiers. ``UsageError`` for those of streams that are not decoded here."""
    plain = {}
    for given, value in options.items():
        name, _, stream = given.partition(":")
        if stream and not stream.startswith("v"):
            raise UsageError(f"-{given}: of an input only the video is decoded; use {name} or {name}:v")
        plain[name] = value
    return plain


def demuxer_options(given: InputOptions) -> dict[str, str]:
    """What to hand to the demuxer. ``UsageError`` for raw video of a size that was not said."""
    options = plain_options(given.options)
    if given.rate is not None:
        options.setdefault("framerate", f"{given.rate.numerator}/{given.rate.denominator}")
    if given.size is not None:
        options.setdefault("video_size", f"{given.size[0]}x{given.size[1]}")
    if given.pixel_format is not None:
        options.setdefault("pixel_format", given.pixel_format)
    raw = given.format == "rawvideo" or (given.format is None and given.path.lower().endswith((".yuv", ".rgb")))
    if raw and "video_size" not in options:
        raise UsageError(
            f"'{mask_url(given.path)}': raw video does not say what it is: "
            "put -f rawvideo -s WxH -pix_fmt FMT -r FPS before it"
        )
    return options


def check_input_options(options: Mapping[str, str], context: Any, path: str) -> None:
    """Raise ``UsageError`` for a name that neither a demuxer nor the decoder of ``context`` knows."""
    if not options:
        return
    decoder = decoder_options(context)
    for name in options:
        if name not in DEMUXER_OPTIONS and name not in decoder:
            raise UsageError(
                f"unknown option -{name} for the input '{path}': no demuxer knows it, nor does the decoder "
                f"{context.name}{did_you_mean(name, DEMUXER_OPTIONS | decoder)}"
            )
