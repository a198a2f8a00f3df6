// <compare-slider>: two images or videos of one size, one over the other, and a line between them.
// The handle is a slider for keyboards and screen readers; zoom and pan hold for both sides.
import { h } from "./dom.js";
import { t } from "./texts.js";

const STEP = 1, LARGE_STEP = 10, MOST_ZOOM = 16;

export class CompareSlider extends HTMLElement {
  constructor() {
    super();
    this.position = 50;
    this.zoom = 1;
    this.x = 0;
    this.y = 0;
  }

  // left, right: {media, label}
  show(left, right) {
    this.media = [left.media, right.media];
    this.right = h("div", { class: "layer" }, right.media);
    this.left = h("div", { class: "layer" }, left.media);
    this.handle = h("div", {
      class: "handle", role: "slider", tabindex: "0", "aria-label": t("slider"), "aria-valuemin": "0", "aria-valuemax": "100",
      onkeydown: (event) => this.#keys(event),
    }, "⇔");
    this.line = h("div", { class: "line" }, this.handle);
    this.tags = [h("span", { class: "tag left" }, left.label), h("span", { class: "tag right" }, right.label)];
    this.stage = h("div", {
      class: "stage",
      onpointerdown: (event) => this.#down(event), onpointermove: (event) => this.#move(event),
      onpointerup: () => { this.drag = null; }, onpointercancel: () => { this.drag = null; },
      onwheel: (event) => { if (event.ctrlKey || this.zoom > 1) { event.preventDefault(); this.#zoomAt(event.deltaY < 0 ? 1.25 : 0.8, event); } },
    }, this.right, this.left, ...this.tags, this.line);
    const tool = (key, label, act) => h("button", { type: "button", "aria-label": t(key), title: t(key), onclick: act }, label);
    this.replaceChildren(this.stage, h("div", { class: "row" },
      tool("zoomOut", "−", () => this.#zoomAt(0.5)), tool("zoomIn", "+", () => this.#zoomAt(2)),
      tool("fit", t("fit"), () => { this.zoom = 1; this.#paint(); }),
      tool("full", t("full"), () => (document.fullscreenElement ? document.exitFullscreen() : (this.closest(".videos") ?? this).requestFullscreen()))));
    for (const one of this.media) {
      for (const event of ["load", "loadedmetadata"]) one.addEventListener(event, () => this.#fit());
    }
    this.#fit();
  }

  #fit() {
    const [width, height] = this.media.map((one) => [one.naturalWidth || one.videoWidth || 0, one.naturalHeight || one.videoHeight || 0])
      .reduce((best, size) => (size[0] > best[0] ? size : best));
    this.stage.style.aspectRatio = width ? `${width} / ${height}` : "16 / 9";
    this.stage.style.maxHeight = "75vh";
    this.#paint();
  }

  #paint() {
    this.zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom));
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.x = Math.min(0, Math.max(width * (1 - this.zoom), this.x));
    this.y = Math.min(0, Math.max(height * (1 - this.zoom), this.y));
    for (const one of this.media) one.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    this.stage.classList.toggle("zoomed", this.zoom >= 4);
    this.left.style.clipPath = `inset(0 ${100 - this.position}% 0 0)`;
    this.line.style.left = `${this.position}%`;
    this.handle.setAttribute("aria-valuenow", String(Math.round(this.position)));
    this.handle.setAttribute("aria-valuetext", `${Math.round(this.position)} %`);
  }

  #zoomAt(factor, event) {
    const box = this.stage.getBoundingClientRect();
    const [px, py] = event ? [event.clientX - box.left, event.clientY - box.top] : [box.width / 2, box.height / 2];
    const zoom = Math.min(MOST_ZOOM, Math.max(1, this.zoom * factor));
    this.x = px - (px - this.x) * zoom / this.zoom;
    this.y = py - (py - this.y) * zoom / this.zoom;
    this.zoom = zoom;
    this.#paint();
  }

  #keys(event) {
    const step = event.shiftKey ? LARGE_STEP : STEP;
    const pans = event.altKey ? { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key] : undefined;
    const to = { ArrowLeft: this.position - step, ArrowDown: this.position - step, ArrowRight: this.position + step, ArrowUp: this.position + step, PageDown: this.position - LARGE_STEP, PageUp: this.position + LARGE_STEP, Home: 0, End: 100 }[event.key];
    if (pans) { this.x += pans[0]; this.y += pans[1]; }
    else if (event.key === "+" || event.key === "=") this.#zoomAt(2);
    else if (event.key === "-") this.#zoomAt(0.5);
    else if (to !== undefined) this.position = Math.min(100, Math.max(0, to));
    else return;
    event.preventDefault();
    this.#paint();
  }

  #down(event) {
    const box = this.stage.getBoundingClientRect();
    const near = Math.abs(event.clientX - box.left - box.width * this.position / 100) < 30;
    this.drag = { pans: this.zoom > 1 && !near, x: event.clientX - this.x, y: event.clientY - this.y };
    this.stage.setPointerCapture(event.pointerId);
    this.#move(event);
    this.handle.focus({ preventScroll: true });
    event.preventDefault();
  }

  #move(event) {
    if (!this.drag) return;
    if (this.drag.pans) {
      this.x = event.clientX - this.drag.x;
      this.y = event.clientY - this.drag.y;
    } else {
      const box = this.stage.getBoundingClientRect();
      this.position = Math.min(100, Math.max(0, 100 * (event.clientX - box.left) / box.width));
    }
    this.#paint();
  }
}
customElements.define("compare-slider", CompareSlider);

export function slider(left, right) {
  const made = document.createElement("compare-slider");
  made.show(left, right);
  return made;
}

export const image = (source, alt) => h("img", { src: source, alt, draggable: "false" });
