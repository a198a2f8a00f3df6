// The queue: what waits, what runs (with the frame at hand), and results.
import { ask, at, get, post } from "./api.js";
import { busy, h } from "./dom.js";
import { image, slider } from "./slider.js";
import { clock, date, number, percent, t } from "./texts.js";
import { pair, video } from "./videos.js";

const PAIR_MILLISECONDS = 1500;

export class QueueView {
  constructor(element) {
    this.element = element;
    this.jobs = new Map();
    this.cards = new Map();
    this.title = h("h2", { id: "queue-title" });
    this.empty = h("p", { class: "soft" });
    element.replaceChildren(this.title);
    setInterval(() => this.#watch(), PAIR_MILLISECONDS);
  }

  all(jobs) {
    this.jobs = new Map(jobs.map((job) => [job.id, job]));
    this.draw();
  }

  one(job) {
    const isNew = !this.jobs.has(job.id);
    this.jobs.set(job.id, job);
    if (isNew) this.draw();
    else this.cards.get(job.id)?.update(job);
    this.#entitle();
  }

  #entitle() {
    const done = [...this.jobs.values()].find((job) => job.state === "running")?.progress?.done;
    document.title = done ? `${percent(done)} · streamvsr` : "streamvsr";
  }

  gone(id) {
    this.jobs.delete(id);
    this.draw();
  }

  redraw() {
    this.cards.clear();
    this.draw();
  }

  draw() {
    for (const id of this.cards.keys()) if (!this.jobs.has(id)) this.cards.delete(id);
    const rank = (job) => ({ running: 0, paused: 0, stopping: 0, queued: 1 })[job.state] ?? 2;
    const order = [...this.jobs.values()].map((job, place) => [job, place])
      .sort(([a, x], [b, y]) => rank(a) - rank(b) || (rank(a) === 2 ? (b.ended ?? 0) - (a.ended ?? 0) : x - y)).map(([job]) => job);
    const cards = order.map((job) => {
      if (!this.cards.has(job.id)) this.cards.set(job.id, new Card(job, this));
      return this.cards.get(job.id).element;
    });
    this.title.textContent = t("queue");
    this.empty.textContent = t("empty");
    this.#place(cards.length ? cards : [this.empty]);
    this.#entitle();
  }

  // A card that stands where it stood is left alone: it would lose the focus, and its videos would stop.
  #place(cards) {
    const focused = document.activeElement;
    let next = this.title.nextSibling;
    for (const card of cards) {
      if (card === next) next = next.nextSibling;
      else this.element.insertBefore(card, next);
    }
    while (next) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  waiting() { return [...this.jobs.values()].filter((job) => job.state === "queued"); }
  partners(job) { return [...this.jobs.values()].filter((other) => other.group && other.group === job.group && other.id !== job.id && other.state === "done"); }

  #watch() {
    if (document.hidden) return;
    for (const card of this.cards.values()) card.watch();
  }
}

class Card {
  constructor(job, view) {
    this.view = view;
    this.element = h("article", { class: "job", "aria-label": job.output_name });
    this.head = h("div", { class: "row" });
    this.summary = h("div");
    this.buttons = h("div", { class: "row" });
    this.stage = h("div");
    this.extra = h("div");
    this.element.append(this.head, this.summary, this.buttons, this.stage, this.extra);
    this.watching = true;
    this.update(job);
  }

  update(job) {
    const before = this.job;
    this.job = job;
    const state = `state${job.state[0].toUpperCase()}${job.state.slice(1)}`;
    this.head.replaceChildren(h("h3", { class: "wide" }, job.output_name), h("span", { class: `state ${{ failed: "bad", done: "good" }[job.state] ?? "soft"}` }, t(state)));
    this.#tell();
    if (before?.state !== job.state) {
      this.#drawButtons();
      // A card that is being made is placed by whoever makes it.
      if (before) this.view.draw();
      if (!["running", "paused"].includes(job.state) && this.pair) { this.stage.replaceChildren(); this.pair = null; }
    }
  }

  #tell() {
    const { job } = this;
    const seen = job.progress;
    const parts = [];
    if (seen) {
      parts.push(seen.frames_total ? `${number(seen.frames)} / ${t("frames", number(seen.frames_total))}` : t("frames", number(seen.frames)));
      if (seen.fps) parts.push(t("fps", number(seen.fps, 1)));
      if (job.state === "running" && seen.eta_seconds !== null) parts.push(t("left", clock(seen.eta_seconds)));
      if (seen.dropped) parts.push(t("dropped", number(seen.dropped)));
    }
    if (job.ended) parts.push(...(job.began ? [t("took", clock(job.ended - job.began))] : []), date(job.ended));
    const stages = seen && ["running", "paused"].includes(job.state) ? Object.entries(seen.stages).map(([name, seconds]) => `${name} ${number(seconds, 1)} s`).join(", ") : "";
    this.summary.replaceChildren(h("p", { class: "soft" }, job.input_name, parts.length ? ` · ${parts.join(" · ")}` : ""),
      seen && seen.done !== null && ["running", "paused", "stopping"].includes(job.state) ? h("progress", { max: "1", value: String(seen.done), "aria-label": percent(seen.done) }) : "",
      stages ? h("p", { class: "soft" }, `${t("stages")}: ${stages}`) : "",
      job.error ? h("p", { class: "bad", role: "alert" }, job.error) : "");
  }

  #button(key, act, kind = "") { return h("button", { type: "button", class: kind, onclick: (event) => busy(event.target, act) }, t(key)); }
  #act(action) { return this.#button(action, () => post(`/jobs/${this.job.id}/${action}`)); }

  #drawButtons() {
    const { job } = this;
    const running = ["running", "paused"].includes(job.state);
    const show = this.#button("result", async () => this.#result(), "main");
    const focused = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...[
      job.state === "running" && !job.live && this.#act("pause"),
      job.state === "paused" && this.#act("resume"),
      running && this.#act("stop"),
      (running || job.state === "queued") && this.#act("cancel"),
      job.state === "queued" && this.#button("earlier", () => this.#move(-1)),
      job.state === "queued" && this.#button("later", () => this.#move(1)),
      ["failed", "cancelled"].includes(job.state) && this.#act("retry"),
      job.state === "done" && show,
      job.state === "done" && h("a", { class: "button", href: at(`/jobs/${job.id}/result`), download: job.output_name }, t("download")),
      job.state === "done" && job.kind === "run" && !job.live && this.#button("comparison", () => post(`/jobs/${job.id}/compare`)),
      job.state === "done" && job.kind === "run" && !job.live && this.#button("metrics", () => this.#measure()),
      job.state === "done" && this.#act("open"),
      job.began && this.#button("log", () => this.#log()),
      ["done", "failed", "cancelled"].includes(job.state) && this.#button("forget", () => ask("DELETE", `/jobs/${job.id}`)),
    ].filter(Boolean));
    if (focused) this.buttons.firstElementChild?.focus({ preventScroll: true });
  }

  async #move(by) {
    const waiting = this.view.waiting();
    const place = waiting.findIndex((job) => job.id === this.job.id);
    const before = by < 0 ? waiting[place - 1] : waiting[place + 2];
    if (by < 0 && !before) return;
    await post(`/jobs/${this.job.id}/move`, { before: before?.id ?? null });
  }

  async #log() {
    if (this.extra.querySelector("pre")) { this.extra.replaceChildren(); return; }
    const answer = await fetch(at(`/jobs/${this.job.id}/log`));
    const lines = (await answer.text()).split("\n").filter((line) => line && !line.startsWith('{"type": "progress"'));
    const plain = lines.map((line) => { try { return JSON.parse(line).text; } catch { return line; } });
    this.extra.replaceChildren(h("pre", { class: "log", tabindex: "0" }, plain.join("\n")));
  }

  async #measure() {
    const found = await post(`/jobs/${this.job.id}/metrics`);
    const mean = (side) => number(found[side].brisque, 1);
    this.extra.replaceChildren(h("p", {}, `${t("metric")}: ${t("before")} ${mean("before")}, ${t("after")} ${mean("after")}`));
  }

  #result() {
    if (this.stage.childElementCount) { this.stage.replaceChildren(); return; }
    const { job } = this;
    const label = (one) => t(one.method === "traditional" ? "traditionalShort" : one.group ? "network" : "after");
    const frames = job.progress, rate = frames?.position_seconds ? (frames.frames - 1) / frames.position_seconds : 25;
    const right = { address: video(job, "after"), label: label(job) };
    if (job.live || job.kind === "compare") {
      this.stage.replaceChildren(h("video", { src: right.address, controls: true, class: "strip", "aria-label": job.output_name }));
      return;
    }
    const sides = [{ address: video(job, "before"), label: t("before"), name: t("original") }, ...this.view.partners(job).map((one) => ({ address: video(one, "after"), label: label(one), name: label(one) }))];
    const place = h("div");
    const show = (index) => place.replaceChildren(pair(sides[index], right, rate));
    const choose = sides.length > 1 ? h("label", { class: "row" }, t("against"), h("select", { onchange: (event) => show(Number(event.target.value)) }, sides.map((side, index) => h("option", { value: String(index) }, side.name)))) : "";
    this.stage.replaceChildren(choose, place);
    show(0);
  }

  async watch() {
    if (this.job.state !== "running" || this.job.kind !== "run") return;
    try {
      const found = await get(`/jobs/${this.job.id}/pair`);
      if (!found.number || found.number === this.seen || this.job.state !== "running") return;
      const address = (side) => at(`/jobs/${this.job.id}/pair/${side}?n=${found.number}`);
      const [before, after] = [image(address("before"), t("before")), image(address("after"), t("after"))];
      await Promise.all([before.decode(), after.decode()]);
      // The job may have ended meanwhile, and its result stand where the pair would.
      if (this.job.state !== "running") return;
      this.seen = found.number;
      if (this.pair) { this.pair.media[0].src = before.src; this.pair.media[1].src = after.src; return; }
      this.pair = slider({ media: before, label: t("before") }, { media: after, label: t("after") });
      this.stage.replaceChildren(this.pair);
    } catch { /* the next one may come */ }
  }
}
