// Requests to the service that sent this page, by relative addresses: it also works behind a prefix.

/** An answer that says what is wrong; `faults` name the fields by JSON pointers. */
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title || `the service answered ${status}`);
    this.code = body.code ?? "unknown";
    this.status = status;
    this.faults = body.errors ?? [];
  }
}

/** Nothing answered. */
export class Unreachable extends Error {}

/** What went wrong with a request, for a person. */
export const wordsOf = (error) => (error instanceof Problem ? error.message : "The service does not answer.");

const PATIENCE_MS = 40_000;

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
  } catch (error) {
    throw new Unreachable(error.message);
  }
  let body = null;
  try {
    body = answer.status === 204 ? null : await answer.json();
  } catch {
    // A proxy in between may answer with a page of its own.
    if (answer.ok) throw new Unreachable("the answer is no JSON");
    body = {};
  }
  return { answer, body };
}

async function checked(path, options) {
  const { answer, body } = await send(path, options);
  if (answer.ok) return body;
  if ([502, 504].includes(answer.status) && !body.code) throw new Unreachable(`a proxy answered ${answer.status}`);
  throw new Problem(body, answer.status);
}

export const get = (path) => checked(path, { headers: { Accept: "application/json" } });

export function post(path, body, headers = {}) {
  const options = { method: "POST", headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  return checked(path, options);
}

export const remove = (path) => checked(path, { method: "DELETE" });

/** /health answers 503 with the same body while nothing is served. */
export async function getHealth() {
  const { answer, body } = await send("health", {});
  if (body?.status === undefined) throw new Unreachable(`the service answered ${answer.status}`);
  return body;
}

/** What was asked for, or null where it does not exist (yet, or any more). */
export async function getIfThere(path) {
  try {
    return await get(path);
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

/** Send a file of rows, telling how far it has come (`fetch` does not); `options` say how to read it. */
export function upload(file, type, onProgress, options = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `datasets?${new URLSearchParams({ name: file.name.slice(0, 128), ...options })}`);
    request.setRequestHeader("Content-Type", type);
    request.responseType = "json";
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(1, event.total));
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.response ?? {}, request.status));
    };
    request.onerror = () => reject(new Unreachable("the service does not answer"));
    request.send(file);
  });
}

export const modelPath = (model) => `models/${encodeURIComponent(model)}`;
export const versionPath = (model, version) => `${modelPath(model)}/versions/${version}`;
