// What is to be done: the form from the server's list of options, preview, forecast, start.
import { ask, get, made, post } from "./api.js";
import { busy, h, say } from "./dom.js";
import { image, slider } from "./slider.js";
import { bytes, clock, current, has, number, t } from "./texts.js";
import { pair } from "./videos.js";

const SHOWN = new Set(["-vf", "-s", "-c:v", "-crf", "--strength", "--scale"]);
const ENCODERS = [["libx264", "H.264 (libx264)"], ["libx265", "H.265 (libx265)"], ["libsvtav1", "AV1 (libsvtav1)"], ["ffv1", "FFV1"]];
const SMALL_PIXELS = 640 * 480;

export class Decide {
  constructor() {
    this.values = { method: "network", preset: "", suffix: ".mp4", options: {}, filters: [] };
    this.element = h("section", { "aria-labelledby": "decide-title", hidden: true });
    this.previewElement = h("section", { "aria-labelledby": "preview-title", hidden: true });
    this.startElement = h("section", { "aria-labelledby": "start-title", hidden: true });
  }

  async draw() {
    this.form = await get(`/form?lang=${current()}`);
    this.#drawForm();
    this.#drawPreview();
    this.#drawStart();
    this.#command();
  }

  show(input, found, inputs) {
    this.input = input;
    this.found = found;
    this.inputs = inputs;
    const ready = Boolean(input && (found || input.live));
    this.element.hidden = this.startElement.hidden = !ready;
    this.previewElement.hidden = !ready || Boolean(input.live);
    if (input?.live && !this.suffixChosen) this.values.suffix = ".mkv";
    if (ready) this.draw();
  }

  spec(input = this.input) {
    const options = structuredClone(this.values.options);
    if (this.values.filters.length && this.values.method === "network" && !options.output?.["-vf"]) {
      (options.output ??= {})["-vf"] = [...this.values.filters, "vsr"].join(",");
    }
    const { method, preset, suffix } = this.values;
    return { input: input.path, method, preset, suffix, options };
  }

  #set(group, flag, value) {
    const options = (this.values.options[group] ??= {});
    if (value === "" || value === false) delete options[flag];
    else options[flag] = value;
    this.#command();
  }

  #get(group, flag) { return this.values.options[group]?.[flag] ?? ""; }

  #radios(name, legend, choices, value, changed) {
    return h("fieldset", {}, h("legend", {}, legend), choices.map(([key, text]) => h("label", { class: "choice" },
      h("input", { type: "radio", name, value: key, checked: key === value, onchange: () => changed(key) }), text)));
  }

  #select(label, choices, value, changed) {
    return h("label", { class: "field" }, h("span", {}, label), h("select", { onchange: (event) => changed(event.target.value) },
      choices.map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
  }

  #range(key, group, flag, bounds, start) {
    const value = this.#get(group, flag);
    const shown = h("span", {}, value || t("usual"));
    const set = (text) => { shown.textContent = text || t("usual"); reset.hidden = !text; this.#set(group, flag, text); };
    const input = h("input", { type: "range", ...bounds, value: value || start, oninput: () => set(input.value) });
    const reset = h("button", { type: "button", class: "link", hidden: !value, "aria-label": `${t(key)}: ${t("usual")}`, onclick: () => { input.value = start; set(""); input.focus(); } }, t("usual"));
    return h("div", { class: "field" }, h("label", {}, h("span", {}, t(key), ": ", shown), input), reset);
  }

  #drawForm() {
    const presets = [["", t("presetNone")], ...this.form.presets.map(({ name, about }) => {
      const key = `preset${name[0].toUpperCase()}${name.slice(1)}`;
      return [name, has(key) ? t(key) : about || name];
    })];
    const models = this.form.models.map(({ name, about }) => [name === "auto" ? "" : name, name === "auto" ? t("auto") : `${name}${about ? `: ${about}` : ""}`]);
    const classical = this.form.filters.filter(({ name }) => !["vsr", "traditional", "bicubic", "resize"].includes(name));
    const file = this.#select(t("file"), [".mp4", ".mkv", ".mov", ".webm"].map((one) => [one, one]), this.values.suffix, (value) => { this.suffixChosen = true; this.values.suffix = value; this.#command(); });
    this.suffix = file.querySelector("select");
    this.code = h("code", {});
    this.wrong = h("p", { class: "bad", role: "alert" });
    this.element.replaceChildren(h("h2", { id: "decide-title" }, t("decide")),
      this.#radios("preset", t("preset"), presets, this.values.preset, (value) => { this.values.preset = value; if (!this.suffixChosen) this.suffix.value = this.values.suffix = value === "archive" ? ".mkv" : ".mp4"; this.#command(); }),
      this.#radios("method", t("method"), [["network", t("network")], ["traditional", t("traditional")], ["both", t("both")]], this.values.method, (value) => { this.values.method = value; this.#drawStart(); this.#command(); }),
      h("div", { class: "options" },
        this.#select(t("model"), models, this.#get("model", "--model"), (value) => this.#set("model", "--model", value)),
        this.#select(t("outputSize"), [["", t("asNetwork")], ["1.5", t("times", number(1.5, 1))], ["2", t("times", "2")], ["3", t("times", "3")], ["720p", "720p"], ["1080p", "1080p"], ["2160p", "2160p"]], this.#get("model", "--scale"), (value) => this.#set("model", "--scale", value)),
        this.#select(t("encoder"), [["", t("defaultEncoder")], ...ENCODERS], this.#get("output", "-c:v"), (value) => this.#set("output", "-c:v", value)),
        file, this.#range("strength", "model", "--strength", { min: "0", max: "1", step: "0.05" }, "1"),
        this.#range("quality", "output", "-crf", { min: "0", max: "40", step: "1" }, "18")),
      h("details", { open: this.values.filters.length > 0 }, h("summary", {}, t("filters")), h("div", { class: "options" }, classical.map(({ name, about }) => h("label", { class: "choice" },
        h("input", { type: "checkbox", checked: this.values.filters.includes(name), onchange: (event) => { this.values.filters = this.values.filters.filter((one) => one !== name); if (event.target.checked) this.values.filters.push(name); this.#command(); } }), h("span", {}, name, " ", h("span", { class: "soft" }, about)))))),
      h("details", {}, h("summary", {}, t("more")), ["input", "output", "model", "live", "run"].map((group) => h("fieldset", {}, h("legend", {}, has(group) ? t(group) : group),
        h("div", { class: "options" }, this.form.groups[group].map((face) => this.#field(group, face)))))),
      h("h3", {}, t("command")), h("div", { class: "row" }, h("span", { class: "wide" }, this.code),
        h("button", { type: "button", onclick: () => navigator.clipboard.writeText(this.code.textContent).then(() => say(t("copied"))) }, t("copy"))), this.wrong);
  }

  #field(group, face) {
    const value = this.#get(group, face.flag);
    const label = `${face.flag}: ${face.help}`;
    if (SHOWN.has(face.flag) && face.flag !== "-vf" && face.flag !== "-s") return "";
    if (face.kind === "flag") return h("label", { class: "choice" }, h("input", { type: "checkbox", checked: Boolean(value), onchange: (event) => this.#set(group, face.flag, event.target.checked) }), label);
    if (face.kind === "yes_no") return this.#select(label, [["", t("usual")], ["yes", face.flags[0]], ["no", face.flags.at(-1)]], value, (chosen) => this.#set(group, face.flag, chosen));
    if (face.choices.length) return this.#select(label, [["", t("usual")], ...face.choices.map((one) => [one, one])], value, (chosen) => this.#set(group, face.flag, chosen));
    return h("label", { class: "field" }, h("span", {}, label), h("input", { type: face.secret ? "password" : "text", placeholder: face.metavar, value, onchange: (event) => this.#set(group, face.flag, event.target.value.trim()) }));
  }

  async #command() {
    if (!this.input || !this.code) return;
    const asked = (this.asked = {});
    const spec = this.spec();
    try {
      const { command } = await post("/command", spec.method === "both" ? { ...spec, method: "network" } : spec);
      if (asked !== this.asked) return;
      this.code.textContent = command;
      this.wrong.textContent = "";
    } catch (error) {
      if (asked === this.asked) this.wrong.textContent = error.message;
    }
  }

  #drawPreview() {
    const seconds = this.found?.footage?.seconds ?? 0;
    const start = Math.round(seconds * 50) / 100;
    const time = h("span", {}, clock(start));
    const moment = h("input", { type: "range", min: "0", max: String(Math.max(0, seconds - 0.2)), step: "0.01", value: String(start), oninput: () => { time.textContent = clock(moment.value); } });
    const view = h("div", { "aria-live": "polite" });
    this.working?.abort();
    const { signal } = (this.working = new AbortController());
    const show = (clip) => (event) => busy(event.target, async () => {
      const spec = this.spec();
      const { width = 0, height = 0 } = this.found?.footage ?? {};
      const both = spec.method === "both";
      const preview = (method) => ask("POST", "/preview", { ...spec, method, at: Number(moment.value), seconds: clip ? 2 : 0, whole: width * height <= SMALL_PIXELS }, { signal });
      const right = await preview(both ? "network" : spec.method);
      const [before, after] = [made(both ? (await preview("traditional")).after : right.before), made(right.after)];
      const labels = both ? [t("traditionalShort"), t("network")] : [t("before"), t(spec.method === "network" ? "after" : "traditionalShort")];
      view.replaceChildren(right.kind === "clip"
        ? pair({ address: before, label: labels[0] }, { address: after, label: labels[1] }, this.found?.footage?.frame_rate ?? 25)
        : slider({ media: image(before, labels[0]), label: labels[0] }, { media: image(after, labels[1]), label: labels[1] }));
    });
    this.previewElement.replaceChildren(h("h2", { id: "preview-title" }, t("preview")),
      h("label", { class: "field" }, h("span", {}, t("moment"), " ", time), moment),
      h("div", { class: "row" }, h("button", { type: "button", class: "main", onclick: show(false) }, t("oneFrame")), h("button", { type: "button", onclick: show(true) }, t("twoSeconds"))), view);
  }

  #drawStart() {
    const summary = h("div", { role: "status" });
    const forecast = h("button", { type: "button", onclick: () => busy(forecast, async () => {
      const spec = this.spec();
      const found = await post("/forecast", spec.method === "both" ? { ...spec, method: "network" } : spec);
      if (!found.frames_per_second) { summary.replaceChildren(h("p", { class: "bad" }, t("noFrame"))); return; }
      const rows = [
        found.seconds !== null && [t("time"), clock(found.seconds)],
        [t("rate"), t("fps", number(found.frames_per_second, 1))],
        found.output_bytes && [t("videoSize"), bytes(found.output_bytes)],
        found.memory_bytes && [t("memory"), bytes(found.memory_bytes)],
        [t("free"), bytes(found.free)],
      ].filter(Boolean);
      summary.replaceChildren(h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
        found.output_bytes && found.output_bytes * 2 > found.free ? h("p", { class: "bad" }, t("tooLarge")) : "");
    }) }, t("ask"));
    const start = h("button", { type: "button", class: "main", onclick: () => busy(start, async () => {
      for (const input of this.inputs) {
        await post("/jobs", this.spec(input));
        say(t("queued", input.name));
      }
    }) }, t(this.input?.live ? "startLive" : "start"));
    this.startElement.replaceChildren(h("h2", { id: "start-title" }, t("forecast")), summary,
      h("div", { class: "row" }, this.input?.live ? "" : forecast, start));
  }
}
