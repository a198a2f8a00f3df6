// Choose a video, several, a folder of images or a live stream; then look at the first.
import { get, made, query, upload } from "./api.js";
import { h, say } from "./dom.js";
import { bytes, clock, number, percent, t } from "./texts.js";

const LIVE = /^(rtsps?|rtmps?|srt|udp):\/\//;

export class Choose {
  constructor(changed) {
    this.changed = changed;
    this.inputs = [];
    this.folder = null;
    this.element = h("section", { "aria-labelledby": "choose-title" });
    this.lookElement = h("section", { "aria-labelledby": "look-title", hidden: true });
  }

  async draw() {
    const picker = h("input", { type: "file", multiple: true, hidden: true, accept: "video/*,.mkv,.avi,.ts,.m2ts,.vob,.dv,.mpg", onchange: () => this.#take(picker.files) });
    const drop = h("div", {
      class: "drop",
      ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
      ondragleave: () => drop.classList.remove("over"),
      ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); this.#take(event.dataTransfer.files); },
    }, h("p", {}, t("drop")), h("button", { type: "button", class: "main", onclick: () => picker.click() }, t("pick")), picker);
    const address = h("input", { type: "text", placeholder: t("liveAddress"), "aria-label": t("live") });
    this.list = h("div");
    this.uploading = h("div", { role: "status" });
    this.chosen = h("div");
    this.element.replaceChildren(h("h2", { id: "choose-title" }, t("choose")), drop, this.uploading,
      h("details", { open: true }, h("summary", {}, t("browse")), this.list),
      h("details", {}, h("summary", {}, t("live")), h("div", { class: "row" }, h("span", { class: "wide" }, address),
        h("button", { type: "button", onclick: () => (LIVE.test(address.value) ? this.#set([{ path: address.value, name: address.value, live: true }]) : say(t("badAddress"))) }, t("use")))),
      this.chosen);
    this.#drawChosen();
    await this.#browse(this.folder);
    if (this.found) this.#drawLook();
  }

  async #browse(path) {
    const asked = (this.asked = {});
    let found;
    try { found = await get(path ? `/files?${query({ path })}` : "/files"); } catch (error) { say(error.message); return; }
    // Another folder may have been opened meanwhile.
    if (asked !== this.asked) return;
    if (!path && found.entries.length === 1) { await this.#browse(found.entries[0].path); return; }
    this.folder = path;
    const rows = found.entries.map((entry) => entry.folder
      ? h("li", {}, h("button", { type: "button", class: "link", onclick: () => this.#browse(entry.path) }, `${entry.name}/`))
      : h("li", {}, h("button", { type: "button", class: "link", onclick: () => this.#set([entry]) }, entry.name), h("span", { class: "size" }, bytes(entry.size)),
        h("button", { type: "button", "aria-label": `+ ${entry.name}`, onclick: () => this.#set([...this.inputs.filter((one) => one.path !== entry.path && !one.live), entry]) }, "+")));
    this.list.replaceChildren(
      found.path ? h("p", { class: "soft" }, found.path) : "",
      found.parent ? h("button", { type: "button", onclick: () => this.#browse(found.parent) }, `↑ ${t("up")}`) : "",
      found.images ? h("button", { type: "button", onclick: () => this.#set([{ path: found.path, name: found.path }]) }, t("pictures", number(found.images))) : "",
      rows.length ? h("ul", { class: "files" }, rows) : h("p", { class: "soft" }, t("nothing")));
  }

  async #take(files) {
    const done = [];
    for (const file of files) {
      const bar = h("progress", { max: "1", value: "0" });
      const text = h("span", {}, t("uploading", file.name, percent(0)));
      this.uploading.replaceChildren(text, bar);
      try {
        done.push(await upload(file, (part) => { bar.value = part; text.textContent = t("uploading", file.name, percent(part)); }));
        this.uploading.replaceChildren();
      } catch (error) {
        this.uploading.replaceChildren(h("p", { class: "bad", role: "alert" }, `${file.name}: ${error.message}`));
      }
    }
    if (done.length) this.#set(done);
  }

  #set(inputs) {
    this.inputs = inputs;
    this.#drawChosen();
    this.#look();
  }

  #drawChosen() {
    this.chosen.replaceChildren(...(this.inputs.length ? [h("h3", {}, t("chosen")), h("ul", { class: "files" }, this.inputs.map((one) => h("li", {}, one.name,
      h("button", { type: "button", "aria-label": `${t("remove")} ${one.name}`, onclick: () => this.#set(this.inputs.filter((other) => other !== one)) }, "×"))))] : []));
  }

  async #look() {
    const [first] = this.inputs;
    this.found = null;
    this.lookElement.hidden = !first || Boolean(first.live);
    this.changed(first ?? null, null);
    if (!first || first.live) return;
    this.lookElement.replaceChildren(h("h2", { id: "look-title" }, t("look")), h("p", { class: "soft busy" }, t("looking")));
    try {
      const found = await get(`/look?${query({ path: first.path })}`);
      if (this.inputs[0] !== first) return;
      this.found = found;
      this.#drawLook();
      this.changed(first, this.found);
    } catch (error) {
      if (this.inputs[0] !== first) return;
      this.lookElement.replaceChildren(h("h2", { id: "look-title" }, t("look")), h("p", { class: "bad", role: "alert" }, error.message));
      this.changed(null, null);
    }
  }

  #drawLook() {
    const { footage: seen, contents, choice, hints } = this.found;
    const grade = (value, some, strong) => t(value < some ? "mild" : value < strong ? "some" : "strong");
    const kind = { audio: "tracksAudio", subtitle: "tracksSubtitle", attachment: "tracksAttachment", data: "tracksData" };
    const tracks = contents.tracks.map((track) => [t(kind[track.kind] ?? "tracksData"), track.codec, track.language === "und" ? "" : track.language].filter(Boolean).join(" "));
    const rows = [
      [t("size"), `${seen.width}×${seen.height}${this.found.size ? `, ${bytes(this.found.size)}` : ""}`],
      seen.frame_rate && [t("rate"), t("fps", number(seen.frame_rate, 2))],
      seen.seconds && [t("length"), clock(seen.seconds)],
      [t("codec"), [seen.codec, contents.color].filter(Boolean).join(", ")],
      [t("tracks"), tracks.join(", ") || t("noTracks")],
      [t("fields"), t(seen.interlaced ? "interlaced" : seen.combed ? "combed" : "progressive")],
      [t("damage"), `${t("noise", grade(seen.noise, 1.5, 5))}, ${t("blocks", grade(seen.blockiness, 1.25, 1.6))}`],
      contents.tags.title && [t("title"), contents.tags.title],
      [t("suits"), `${choice.model}: ${choice.reason}`],
      ...hints.map((hint) => [t("hint"), hint]),
    ].filter(Boolean);
    this.lookElement.replaceChildren(h("h2", { id: "look-title" }, t("look")), h("img", { class: "strip", src: made(this.found.strip), alt: this.found.name }),
      h("dl", {}, rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
  }
}
