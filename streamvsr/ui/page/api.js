const ROOT = "/api/v1";

export async function ask(method, path, body, options = {}) {
  const answer = await fetch(ROOT + path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
    ...options,
  });
  const found = await answer.json().catch(() => ({ error: `${answer.status}` }));
  if (!answer.ok) throw new Error(found.error ?? `${answer.status}`);
  return found;
}

export const get = (path) => ask("GET", path);
export const post = (path, body = {}) => ask("POST", path, body);
export const made = (path) => `${ROOT}/made/${path}`;
export const at = (path) => ROOT + path;
export const query = (values) => new URLSearchParams(values).toString();

// XMLHttpRequest, because fetch does not tell how much of an upload is sent. Whether it is taken is asked before: a
// browser that is still sending does not read a refusal.
export async function upload(file, onProgress) {
  await get(`/uploads?${query({ name: file.name, size: file.size })}`);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}/uploads?${query({ name: file.name })}`);
    request.upload.addEventListener("progress", (event) => onProgress(event.loaded / Math.max(1, event.total)));
    request.addEventListener("error", () => reject(new Error("network")));
    request.addEventListener("load", () => {
      let found = {};
      try { found = JSON.parse(request.responseText); } catch { /* reported below */ }
      if (request.status === 200) resolve(found);
      else reject(new Error(found.error ?? `${request.status}`));
    });
    request.send(file);
  });
}

export function events(handlers, connected) {
  const source = new EventSource(`${ROOT}/events`);
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
  }
  source.addEventListener("open", () => connected(true));
  source.addEventListener("error", () => {
    connected(false);
    // A server that ended answers nothing for a while; browsers give up on some errors.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => events(handlers, connected), 1000);
  });
}
