import { events } from "./api.js";
import { Choose } from "./choose.js";
import { Decide } from "./decide.js";
import { h } from "./dom.js";
import { QueueView } from "./queue.js";
import { choose as chooseLanguage, current, t } from "./texts.js";

// The token is in a cookie now; out of the address it goes into no history and no screenshot.
history.replaceState(null, "", "/");

const decide = new Decide();
const choose = new Choose((input, found) => decide.show(input, found, choose.inputs));
const queue = new QueueView(document.getElementById("queue"));
document.getElementById("new").append(choose.element, choose.lookElement, decide.element, decide.previewElement, decide.startElement);

function draw() {
  document.documentElement.lang = current() === "zh" ? "zh-CN" : "en";
  document.getElementById("line").textContent = t("line");
  document.getElementById("language").textContent = t("language");
  document.getElementById("language").lang = current() === "zh" ? "en" : "zh-CN";
  choose.draw();
  decide.draw();
  queue.redraw();
}

document.getElementById("language").addEventListener("click", () => {
  chooseLanguage(current() === "zh" ? "en" : "zh");
  draw();
});
draw();

const lost = h("p", { class: "bad", role: "alert" });
events({
  jobs: ({ jobs }) => queue.all(jobs),
  job: ({ job }) => queue.one(job),
  gone: ({ id }) => queue.gone(id),
}, (there) => {
  lost.textContent = there ? "" : t("lost");
  if (there) lost.remove();
  else document.querySelector("header").append(lost);
});
