// The one table of texts: [English, Chinese].
const TABLE = {
  line: ["video super-resolution, on your own machine", "在自己的电脑上做视频超分辨率"],
  language: ["中文", "English"],
  choose: ["1. Choose", "1. 选择"],
  drop: ["Drop videos here, or", "把视频拖到这里，或"],
  pick: ["choose files", "选择文件"],
  browse: ["Files on this machine", "本机文件"],
  up: ["up", "上一级"],
  pictures: ["Use this folder of {} images", "使用此文件夹中的 {} 张图片"],
  nothing: ["no videos here", "这里没有视频"],
  live: ["Live stream", "实时流"],
  liveAddress: ["address, such as rtsp://camera/1", "地址，例如 rtsp://camera/1"],
  use: ["Use", "使用"], badAddress: ["an address begins with rtsp://, rtmp://, srt:// or udp://", "地址应以 rtsp://、rtmp://、srt:// 或 udp:// 开头"],
  uploading: ["{} is being uploaded: {}", "正在上传 {}：{}"],
  chosen: ["Chosen", "已选"],
  remove: ["remove", "移除"],
  look: ["2. Look", "2. 查看"],
  looking: ["looking", "正在查看"],
  size: ["size", "尺寸"], rate: ["rate", "帧率"], length: ["length", "时长"], codec: ["codec", "编码"],
  fps: ["{} frames a second", "每秒 {} 帧"],
  tracks: ["tracks", "轨道"], noTracks: ["video alone", "仅视频"],
  tracksAudio: ["sound", "声音"], tracksSubtitle: ["subtitles", "字幕"], tracksAttachment: ["attachment", "附件"], tracksData: ["data", "数据"],
  fields: ["fields", "扫描方式"], interlaced: ["interlaced", "隔行"], combed: ["combed, though not tagged", "有隔行纹，但未标记"], progressive: ["progressive", "逐行"],
  damage: ["damage", "损伤"],
  noise: ["noise {}", "噪声 {}"], blocks: ["blocks {}", "块效应 {}"],
  mild: ["little", "轻微"], some: ["some", "中等"], strong: ["strong", "严重"],
  suits: ["suits it", "适合的网络"], title: ["title", "标题"], hint: ["hint", "提示"],
  decide: ["3. Decide", "3. 设定"],
  preset: ["For what", "用途"],
  presetNone: ["for watching: good quality, usual size", "观看：质量好，大小适中"],
  presetArchive: ["to keep: 10 bit HEVC, slow, hardly a loss", "存档：10 位 HEVC，较慢，几乎无损"],
  presetPreview: ["to have a look soon: quick and small", "尽快看看：快速，文件小"],
  presetLive: ["for streams: frame by frame, no delay", "实时流：逐帧，无延迟"],
  method: ["How", "方法"],
  network: ["network", "网络"], traditional: ["traditional: sharpen, Gaussian, bicubic", "传统方法：锐化、高斯、双三次"], both: ["both, to compare", "两种都做，用于比较"],
  traditionalShort: ["traditional", "传统方法"],
  model: ["Network", "网络"], auto: ["what suits the video", "自动选择"],
  strength: ["Strength", "强度"],
  outputSize: ["Size", "输出尺寸"], asNetwork: ["4 times, at most 4K", "4 倍，最大 4K"], times: ["{} times", "{} 倍"],
  encoder: ["Encoder", "编码器"], defaultEncoder: ["usual for the file", "文件的默认编码器"],
  quality: ["Quality (CRF, lower is better)", "质量（CRF，越低越好）"], usual: ["usual", "默认"],
  file: ["File", "文件类型"],
  filters: ["Classical filters", "经典滤波器"], filtersBefore: ["before", "之前"],
  more: ["More: every other option", "更多：其他全部选项"],
  input: ["input", "输入"], output: ["output", "输出"], run: ["run", "运行"],
  command: ["The same in a shell", "等效的命令行"], copy: ["copy", "复制"], copied: ["copied", "已复制"],
  preview: ["4. Preview", "4. 预览"],
  moment: ["moment", "时刻"], oneFrame: ["One frame", "一帧"], twoSeconds: ["Two seconds", "两秒"],
  before: ["before", "处理前"], after: ["after", "处理后"],
  forecast: ["5. Forecast and start", "5. 预测与开始"], ask: ["How long will it take?", "需要多久？"],
  time: ["time", "时间"], memory: ["memory", "内存"], videoSize: ["size of the video", "视频大小"], free: ["free on the disk", "磁盘剩余"],
  tooLarge: ["there may not be enough space on the disk", "磁盘空间可能不足"],
  noFrame: ["not one frame in half a minute: choose a faster network", "半分钟内没有完成一帧：请选更快的网络"],
  start: ["Add to the queue", "加入队列"], startLive: ["Start", "开始"], queued: ["{} in the queue", "{} 已加入队列"],
  queue: ["Queue", "队列"], empty: ["Nothing here yet.", "还没有任务。"],
  lost: ["the server does not answer; jobs go on, and the page waits for it", "服务器没有应答；任务继续运行，页面等待恢复"],
  stateQueued: ["waiting", "等待中"], stateRunning: ["running", "运行中"], statePaused: ["paused", "已暂停"], stateStopping: ["ending", "正在结束"], stateDone: ["done", "完成"], stateFailed: ["failed", "失败"], stateCancelled: ["cancelled", "已取消"],
  pause: ["Pause", "暂停"], resume: ["Go on", "继续"], stop: ["Stop and keep", "停止并保留"], cancel: ["Cancel", "取消"], retry: ["Try again", "重试"], forget: ["Forget", "移除"], earlier: ["Earlier", "提前"], later: ["Later", "推后"],
  watch: ["Watch", "观看"], hide: ["Hide", "收起"], log: ["Log", "日志"],
  waitingPair: ["waiting for the next frame", "正在等待下一帧"],
  result: ["Result", "结果"], download: ["Download", "下载"], open: ["Open folder", "打开文件夹"], comparison: ["Make a comparison video", "生成对比视频"], metrics: ["Measure", "测量"],
  metric: ["BRISQUE, no reference, lower is better", "BRISQUE，无参考，越低越好"],
  making: ["a copy that the browser plays is made", "正在生成浏览器可播放的副本"],
  play: ["Play", "播放"], pausePlay: ["Pause", "暂停"], stepBack: ["One frame back", "后退一帧"], stepOn: ["One frame on", "前进一帧"], seek: ["Position", "位置"],
  against: ["left side", "左侧"], original: ["the original", "原视频"],
  slider: ["Where before ends and after begins", "处理前后的分界"], zoomIn: ["Zoom in", "放大"], zoomOut: ["Zoom out", "缩小"], fit: ["Fit", "适应"], full: ["Full screen", "全屏"],
  left: ["{} left", "剩余 {}"], frames: ["{} frames", "{} 帧"], stages: ["stage times", "各阶段用时"], took: ["in {}", "用时 {}"], dropped: ["{} dropped", "丢弃 {}"],
  presetChosen: ["chosen by the preset", "由预设决定"],
};

let language = localStorage.getItem("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");

export const current = () => language;
export function choose(other) {
  language = other;
  localStorage.setItem("language", other);
}

export function t(key, ...values) {
  const text = TABLE[key][language === "zh" ? 1 : 0];
  return values.reduce((said, value) => said.replace("{}", () => value), text);
}
export const has = (key) => key in TABLE;

const locale = () => (language === "zh" ? "zh-CN" : navigator.language.startsWith("zh") ? "en" : navigator.language);
export const number = (value, digits = 0) => new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
export const percent = (value) => new Intl.NumberFormat(locale(), { style: "percent" }).format(value);
export const date = (seconds) => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeStyle: "short" }).format(seconds * 1000);
export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** step;
  return new Intl.NumberFormat(locale(), { style: "unit", unit: units[step], unitDisplay: "short", maximumSignificantDigits: 3 }).format(value);
}
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const pair = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return `${hours ? `${hours}:` : ""}${pair(Math.floor(whole / 60) % 60)}:${pair(whole % 60)}`;
}
