// Two videos in step under one slider. The right one leads and has the sound; the left one follows.
import { h } from "./dom.js";
import { slider } from "./slider.js";
import { clock, t } from "./texts.js";
import { at } from "./api.js";

// Beyond this the follower jumps; below it, what is ahead goes slower, and what is behind faster.
const FAR_SECONDS = 0.25, CATCH_UP_SECONDS = 0.25, MOST_NUDGE = 0.5;

// A source that the browser cannot play is asked for as a copy, which takes a while to be made.
function load(video, address, report) {
  let copied = false;
  const retry = async () => {
    if (!video.isConnected && copied) return;
    copied = true;
    const answer = await fetch(`${address}?copy=1`, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    if (answer?.status === 202) { report(t("making")); setTimeout(retry, 1000); return; }
    if (answer?.ok) { report(""); video.src = `${address}?copy=1`; return; }
    report((await answer?.json().catch(() => null))?.error ?? t("lost"));
  };
  video.addEventListener("error", () => { if (!copied) retry(); });
  video.addEventListener("loadedmetadata", () => { if (!video.videoWidth && !copied) retry(); });
  video.src = address;
}

export function pair(left, right, rate = 25) {
  const make = (label) => h("video", { preload: "auto", playsinline: true, "aria-label": label });
  const follower = make(left.label), leader = make(right.label);
  follower.muted = true;
  const said = h("p", { class: "soft", role: "status" });
  const report = (text) => { said.textContent = text; };
  load(leader, right.address, report);
  load(follower, left.address, report);
  const view = slider({ media: follower, label: left.label }, { media: leader, label: right.label });

  const place = h("input", { type: "range", min: "0", max: "1000", value: "0", "aria-label": t("seek") });
  const time = h("span", { class: "soft" });
  const playing = h("button", { type: "button" }, t("play"));
  const step = (frames) => { leader.pause(); leader.currentTime = Math.max(0, leader.currentTime + frames / rate); };
  playing.addEventListener("click", () => (leader.paused ? leader.play() : leader.pause()));
  place.addEventListener("input", () => { leader.currentTime = place.value / 1000 * (leader.duration || 0); });
  const same = () => { follower.currentTime = leader.currentTime; };
  leader.addEventListener("play", () => { playing.textContent = t("pausePlay"); follower.play().catch(() => {}); tick(); });
  leader.addEventListener("pause", () => { leader.playbackRate = 1; playing.textContent = t("play"); follower.pause(); same(); });
  leader.addEventListener("seeking", same);
  leader.addEventListener("seeked", same);
  follower.addEventListener("loadeddata", same);
  leader.addEventListener("ended", () => { follower.pause(); });
  // A follower that has to wait for data holds the leader back.
  follower.addEventListener("waiting", () => { if (!leader.paused && !follower.ended) { leader.pause(); follower.addEventListener("canplay", () => leader.play(), { once: true }); } });

  let last = 0;
  function tick(now = performance.now()) {
    if (leader.paused || !view.isConnected) return;
    const ahead = follower.currentTime - leader.currentTime;
    if (Math.abs(ahead) > FAR_SECONDS && !follower.seeking && !follower.ended) same();
    const nudge = Math.max(-MOST_NUDGE, Math.min(MOST_NUDGE, ahead / 2 / Math.max(CATCH_UP_SECONDS, 3 * (now - last) / 1000)));
    follower.playbackRate = 1 - nudge;
    // The leader has the sound: it is held back only where the follower cannot catch up by itself.
    leader.playbackRate = ahead < -0.5 / rate ? 1 + nudge : 1;
    last = now;
    requestAnimationFrame(tick);
  }
  const shown = () => {
    if (leader.duration) place.value = String(1000 * leader.currentTime / leader.duration);
    time.textContent = `${clock(leader.currentTime)} / ${clock(leader.duration || 0)}`;
  };
  for (const event of ["timeupdate", "loadedmetadata", "seeked"]) leader.addEventListener(event, shown);
  const button = (key, label, frames) => h("button", { type: "button", "aria-label": t(key), title: t(key), onclick: () => step(frames) }, label);
  return h("div", { class: "videos" }, view, said,
    h("div", { class: "row" }, playing, button("stepBack", "‹", -1), button("stepOn", "›", 1), h("span", { class: "wide" }, place), time));
}

export const video = (job, side) => at(`/jobs/${job.id}/video/${side}`);
