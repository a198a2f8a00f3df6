"""Simplified Chinese: English text -> Chinese text. Loaded only where the environment asks for it."""

from __future__ import annotations

from collections.abc import Mapping

HELP: Mapping[str, str] = {
    "streamvsr makes low-quality video four times larger and clean.": "streamvsr 把低画质视频放大四倍并修复干净。",
    "streamvsr --help explains the options.": "streamvsr --help 说明各个选项。",
    "INPUT and OUTPUT are a file, a folder of pictures, a pattern (%05d.png), a URL,\n"
    "or - for a pipe. Options before the input belong to it, later ones to the\n"
    "output, as in ffmpeg; options with two dashes may stand anywhere. Audio,\n"
    "subtitles, chapters, tags and every time stamp are kept.": (
        "INPUT 和 OUTPUT 可以是文件、图片文件夹、文件名模式（%05d.png）、URL，\n"
        "或表示管道的 -。与 ffmpeg 一样，写在输入之前的选项属于输入，之后的属于输出；\n"
        "双横线的选项位置不限。音频、字幕、章节、标签和每一个时间戳都会保留。"
    ),
    "examples:": "示例：",
    "commands, each with a --help of its own:": "命令（各有自己的 --help）：",
    "what a video is like, what suits it, what that takes": "视频是什么情况、适合哪个网络、要多久",
    "one moment before and after, as an image": "某一时刻处理前后的对比图",
    "list, fetch, convert, export and verify networks": "列出、下载、转换、导出、校验网络",
    "list the filters of -vf, or explain one": "列出 -vf 的滤镜，或说明其中一个",
    "several videos or results beside each other": "并排对比多个视频或结果",
    "a page on which viewers vote, blind": "让观众盲选投票的网页",
    "a video to images": "把视频拆成图片",
    "images to a video": "把图片合成视频",
    "measure a result": "测量结果的质量",
    "measure models on a data set": "在数据集上测量模型",
    "train a network": "训练网络",
    "the page in the browser": "浏览器里的操作界面",
    "hand a run to the page's queue": "把任务交给网页的队列",
    "print the completion of a shell": "输出 shell 的补全脚本",
    "options of the input": "输入的选项",
    "options of the output": "输出的选项",
    "the network": "网络",
    "live input": "实时输入",
    "the run": "运行",
    "presets and many inputs": "预设与批量处理",
    "As in ffmpeg": "同 ffmpeg",
    "Any other option goes to the encoder or the muxer.": "其他选项会交给编码器或封装器。",
    "exit codes: 0 done, 1 failed, 2 usage, 130 interrupted, 141 reader left": (
        "退出码：0 完成，1 失败，2 命令有误，130 被中断，141 管道的读取方已退出"
    ),
    "ignore the input's time stamps, assume this rate": "忽略输入的时间戳，按此帧率读取",
    "decode on this hardware: none, auto, cuda, vaapi ...": "用此硬件解码：none、auto、cuda、vaapi 等",
    "overwrite the output, or never; else ask": "覆盖输出 / 绝不覆盖；默认会询问",
    "constant rate: frames are repeated or dropped": "固定帧率：必要时重复或丢弃帧",
    "output size, scaled after the network": "输出尺寸，在网络之后缩放",
    "filters instead of vsr alone, as nlmeans,vsr,unsharp": "滤镜链，默认 vsr；例如 nlmeans,vsr,unsharp",
    "video encoder": "视频编码器",
    "audio: copy (default), or an encoder": "音频：copy（默认，直接复制）或编码器",
    "subtitles: copy (default), or an encoder": "字幕：copy（默认，直接复制）或编码器",
    "constant quality, lower is better (x264: 18)": "恒定质量，越小越好（x264：18）",
    "seconds that a network output may stall": "网络输出最多可停顿的秒数",
    "interlaced frames: auto (bwdif), or off": "隔行画面：auto（用 bwdif 反交错）或 off",
    "0: faithful, 2: sharpest (rt-real: 0.9)": "0：最忠实，2：最锐利（rt-real：0.9）",
    "turn pixels, not the tag": "旋转像素，而不是写旋转标签",
    "auto, or a name from streamvsr models": "auto，或 streamvsr models 列出的名称",
    "weights; they say which network it is": "权重文件；由它确定是哪个网络",
    "mm-style config that describes the network": "描述网络的 mm 风格配置文件",
    "native, or mmedit with --config and --checkpoint": "native，或 mmedit（需要 --config 和 --checkpoint）",
    "frames in a window": "一个窗口的帧数",
    "look-ahead frames shared by two windows": "相邻两个窗口共用的前瞻帧数",
    "carry the state on, or independent windows": "carry 延续状态，window 各窗口独立",
    "size in the end: 2, 1920x1080 or 1080p": "最终尺寸：2、1920x1080 或 1080p",
    "how much change begins a scene; 0: off": "画面变化多大算新场景；0 为关闭",
    "frames a state goes back; 0: all": "状态最多回溯的帧数；0 为全部",
    "tiles for large frames: auto, off, or N pixels": "大画面分块：auto、off 或 N 像素",
    "1: the network's result, 0: plain enlargement": "1 为网络的结果，0 为普通放大",
    "1: clean, 0: keep noise (realesr-general)": "1 去噪，0 保留噪点（realesr-general）",
    "hold still what stands still: auto, on, off": "让静止的部分保持静止：auto、on、off",
    "clean until below N; 255: once": "反复清理直到变化低于 N；255 为只一次",
    "decided for a frame or a window": "按帧还是按窗口判断",
    "auto, cpu, cuda, cuda:1, mps": "auto、cpu、cuda、cuda:1、mps",
    "auto, fp32, fp16 or bf16": "auto、fp32、fp16 或 bf16",
    "run the network through torch.compile": "用 torch.compile 运行网络",
    "record CUDA graphs too": "同时录制 CUDA graph",
    "CPU threads of the network": "网络使用的 CPU 线程数",
    "the input is live (said by rtsp://, rtmp://, udp://)": "输入是实时流（rtsp://、rtmp://、udp:// 自动识别）",
    "seconds from a frame's arrival to its encoder (2)": "一帧从到达到编码的最长秒数（2）",
    "end after this time by the clock": "按时钟经过这段时间后结束",
    "seconds to try for a lost input; 0: not": "输入断开后重试的秒数；0 为不重试",
    "seconds to wait for the first frame": "等待第一个画面的秒数",
    "seconds to wait for the next frame": "等待下一个画面的秒数",
    "print errors only": "只显示错误",
    "print tracebacks and FFmpeg's own messages": "显示调用栈和 FFmpeg 自己的信息",
    "work for a second, tell what it would take": "试跑一秒，估计整个任务的耗时和大小",
    "print milliseconds per stage at the end": "结束时显示各阶段的毫秒数",
    "auto, bar, lines, json (for programs), none": "auto、bar、lines、json（供程序读取）、none",
    "keep what is finished (default: inputs over a minute)": "保留已完成的部分（超过一分钟的输入默认如此）",
    "forget what an earlier run has finished": "丢弃上次运行已完成的部分",
    "processes that share the work (extra ray)": "分担工作的进程数（需要 ray 附加包）",
    "workers on this Ray cluster: HOST:PORT, auto": "使用此 Ray 集群的工作进程：HOST:PORT、auto",
    "workers of one kind: no CPUs beside GPUs": "只用一种工作进程：有 GPU 时不再用 CPU",
    "the current frame, before and after, as JPEGs": "把当前帧处理前后的 JPEG 放在此文件夹",
    "archive, live, preview, yours, or a .toml file": "archive、live、preview、自己的预设，或 .toml 文件",
    "print what holds and why, run nothing": "显示生效的设置及其来源，不运行",
    "any number of inputs, each into this folder": "任意多个输入，结果都放进此文件夹",
    "kind of the files in it, such as .mkv": "其中文件的类型，例如 .mkv",
    "folders in the input folders too": "包括输入文件夹的子文件夹",
    "pass over inputs that are done there": "跳过已经完成的输入",
}

ERRORS: Mapping[str, str] = {
    "no input{}; --help shows how to call streamvsr": "没有输入{}；用法见 --help",
    "no output for '{}'{}": "没有指定“{}”的输出{}",
    "a path is empty": "有一个路径是空的",
    "there is no file '{}'; did you mean streamvsr {}?": "没有文件“{}”；是不是想用 streamvsr {}？",
    "no such file: '{}'": "没有这个文件：“{}”",
    "there is no file or command '{}'; streamvsr --help lists the commands": (
        "没有名为“{}”的文件或命令；streamvsr --help 列出所有命令"
    ),
    "the output '{}' has no extension: {}{} is a video, {}/ a folder of images": (
        "输出“{}”没有扩展名：{}{} 是视频，{}/ 是图片文件夹"
    ),
    "the name {} does not tell the format; name it with -f, e.g. -f mp4": (
        "从名称 {} 看不出格式；请用 -f 指明，例如 -f mp4"
    ),
    "-crf {}: {} takes {} to {}, less is better": "-crf {}：{} 的范围是 {} 到 {}，越小越好",
    "-ss {}: the input ends before that": "-ss {}：超出了输入的长度",
    "--device {}: expected auto, {}, or one of several, such as cuda:1": (
        "--device {}：可以是 auto、{}，有多个时写 cuda:1 这样的编号"
    ),
    "--device {} cannot be used here ({}); try --device cpu": "--device {} 在这里不可用（{}）；可以试试 --device cpu",
    "unknown model {}: did you mean {}?": "未知的模型 {}：是不是 {}？",
    "unknown model {}; there are {}, and checkpoints by name": "未知的模型 {}；可用的有 {}，以及各权重的名称",
    "no checkpoint for {}: {}": "缺少 {} 的权重：{}",
    "two inputs, '{}' and '{}': a run takes one, and the output is named after it": (
        "有两个输入“{}”和“{}”：一次只处理一个，输出写在它后面"
    ),
    "two outputs, '{}' and '{}': a run writes one; many inputs go into a folder: -o out/": (
        "有两个输出“{}”和“{}”：一次只写一个；多个输入请放进文件夹：-o out/"
    ),
    "unknown option {}: did you mean {}?": "未知选项 {}：是不是 {}？",
    "{} needs a value": "{} 需要一个值",
    "{} needs a value, not the option {}": "{} 需要一个值，而不是选项 {}",
    "{} takes no value": "{} 不带值",
    "{} is an option of the {}: write it {} the input": "{} 的位置不对：输入的选项写在输入之前，输出的选项写在输入之后",
    "{} {}: must be at least {}": "{} {}：不能小于 {}",
    "{} {}: must be at most {}": "{} {}：不能大于 {}",
    "{} {}: choose one of {}": "{} {}：只能是 {}",
    "{} goes with -o FOLDER": "{} 要与 -o FOLDER 一起使用",
    "-o {}: is a file; name a folder": "-o {}：这是一个文件；请指定文件夹",
    "-c:v copy: the video goes through the network, so it has to be encoded: name an encoder": (
        "-c:v copy：画面要经过网络，必须重新编码：请指定编码器"
    ),
    "--tile {}: say auto, off, or a side of at least {} pixels": "--tile {}：auto、off，或不小于 {} 像素的边长",
    "standard input is a terminal: pipe a video into it or name a file": "标准输入是终端：请用管道送入视频，或指定文件",
    "standard output is a terminal: pipe it into a program or name a file": (
        "标准输出是终端：请用管道接到别的程序，或指定文件"
    ),
    "'{}' already exists; -y overwrites it": "“{}”已经存在；加 -y 覆盖",
    "'{}' is kept, nothing was done": "保留“{}”，没有做任何处理",
    "'{}': is a folder, not a file": "“{}”是文件夹，不是文件",
    "'{}': there is no video in it": "“{}”里没有视频",
    "'{}': may not be read: {}": "“{}”没有读取权限：{}",
    "'{}': may not be written: {}": "“{}”没有写入权限：{}",
    "'{}': the folder does not exist; create it first": "“{}”：文件夹不存在；请先创建",
    "'{}': no space left on the device; free some, or write elsewhere": "“{}”：磁盘空间不足；请腾出空间或写到别处",
    "'{}': out of memory": "“{}”：内存不足",
    "'{}': FFmpeg cannot make sense of it: damaged, not a video, or its kind has to be named with -f": (
        "“{}”：FFmpeg 无法识别：文件已损坏、不是视频，或需要用 -f 指明格式"
    ),
    "'{}': unknown output format; name one with -f": "“{}”：未知的输出格式；请用 -f 指明",
    "'{}': FFmpeg has no such encoder; choose another with -c:v": "“{}”：FFmpeg 没有这个编码器；请用 -c:v 换一个",
    "'{}': connection refused; is the server running, is the port right?": (
        "“{}”：连接被拒绝；服务器在运行吗？端口对吗？"
    ),
    "'{}': the connection was lost ({})": "“{}”：连接断开（{}）",
    "'{}': no answer in time; check the address and the network": "“{}”：没有及时应答；请检查地址和网络",
    "'{}': the server wants a user and a password; put them before the host: SCHEME://USER:PASSWORD@HOST/...": (
        "“{}”：服务器需要用户名和密码；写在主机名前面：SCHEME://USER:PASSWORD@HOST/..."
    ),
    "'{}': the server does not have this (404)": "“{}”：服务器上没有（404）",
    "no frame came, so there is nothing to write": "没有读到任何帧，没有可写的内容",
    "{}: is damaged or no checkpoint; download it again": "{}：权重文件已损坏，或不是权重文件；请重新下载",
    "the weights that come with streamvsr are missing: install it again, or give --checkpoint": (
        "缺少 streamvsr 自带的权重：请重新安装，或用 --checkpoint 指定"
    ),
    "--precision fp16 needs a GPU: CPUs compute it slower than fp32; leave --precision out": (
        "--precision fp16 需要 GPU：CPU 上它比 fp32 更慢；请去掉 --precision"
    ),
}
"""Tried in this order; each is the text of an error as docs/messages.md has it, with ``{}`` for ``…``."""
