// Elements are made, never parsed: no text of a file or of the server is ever HTML.
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let silence;
export function say(text) {
  const said = document.getElementById("said");
  said.textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { said.textContent = ""; }, 6000);
}

export async function busy(button, work) {
  if (button.hasAttribute("aria-disabled")) return undefined;
  // Not `disabled`, which takes the focus away.
  button.setAttribute("aria-disabled", "true");
  button.classList.add("busy");
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") say(error.message);
    return undefined;
  } finally {
    button.removeAttribute("aria-disabled");
    button.classList.remove("busy");
  }
}
