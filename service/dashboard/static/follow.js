// The points of learning curves: by server-sent events while a job runs, else fetched once.

import { get } from "./api.js";
import { isActive } from "./state.js";

/** A browser opens six connections to one host; streams leave room for requests and other tabs. */
const MAX_STREAMS = 2;
const MAX_KEPT = 50;

const curves = new Map(); // job id -> {points, complete, stream, refused}
const specs = new Map(); // job id -> what was asked for, which the list of jobs does not tell
const listeners = [];
let ended = () => {};

const listener = () => { for (const hear of listeners) hear(); };

/** `hear` whenever a curve has grown. */
export const onPoints = (hear) => listeners.push(hear);

/** `onEnd` hears that a job has ended. */
export function startFollowing(onEnd) {
  ended = onEnd;
  document.addEventListener("visibilitychange", () => { if (document.hidden) closeAll(); });
  addEventListener("pagehide", closeAll);
}

export const pointsOf = (id) => curves.get(id)?.points ?? [];
export const isKnown = (id) => curves.has(id);

/** What was asked for with a job; null until it is known. */
export const specOf = (id) => specs.get(id) ?? null;

/** How far a job has come: its stream may know more than the last look at the list of jobs, or less. */
export function progressNow(job) {
  const { epoch, epochs, eta_seconds: eta, fraction } = job.progress;
  const points = isActive(job) ? pointsOf(job.id) : [];
  const seen = points.at(-1)?.epoch ?? 0;
  const isNewer = seen > epoch;
  // One that waits for another attempt has the points of the last one.
  return { isWaiting: job.state === "queued" && (job.attempt > 0 || points.length === 0), epoch: isNewer ? seen : epoch, epochs, eta, fraction: isNewer ? seen / epochs : fraction };
}

/** Fetch or follow the curves of these jobs, and let go of the streams of others. */
export function follow(jobs) {
  const streamed = jobs.filter(isActive).slice(0, MAX_STREAMS).map((job) => job.id);
  for (const [id, curve] of curves) {
    if (curve.stream && !streamed.includes(id)) close(curve);
  }
  for (const job of jobs) {
    fetchSpec(job.id);
    const curve = curves.get(job.id);
    if (curve?.complete || curve?.stream) continue;
    if (streamed.includes(job.id) && !curve?.refused) open(job.id);
    else fetchOnce(job);
  }
  for (const id of [...curves.keys()].slice(0, Math.max(0, curves.size - MAX_KEPT))) {
    if (jobs.some((job) => job.id === id)) continue;
    curves.delete(id);
    specs.delete(id);
  }
}

async function fetchSpec(id) {
  if (specs.has(id)) return;
  specs.set(id, null);
  try {
    const { spec } = await get(`jobs/${id}`);
    specs.set(id, spec);
    listener();
  } catch {
    specs.delete(id);
  }
}

async function fetchOnce(job) {
  const complete = !isActive(job);
  const known = curves.get(job.id);
  const curve = { points: known?.points ?? [], complete, stream: null, refused: known?.refused ?? false };
  curves.set(job.id, curve);
  try {
    const { points } = await get(`jobs/${job.id}/curve`);
    curve.points = points;
    listener();
  } catch {
    // Asked for again by the next look.
    curve.complete = false;
  }
}

function open(id) {
  if (document.hidden) return;
  const stream = new EventSource(`jobs/${id}/events`);
  const curve = { points: [], complete: false, stream, refused: false };
  // Until the first event has come, what was known stays on screen.
  const before = curves.get(id)?.points ?? [];
  if (before.length) curve.points = before;
  let fresh = before.length === 0;
  curves.set(id, curve);
  stream.addEventListener("point", (event) => {
    const { at: _at, ...point } = JSON.parse(event.data);
    if (!fresh) {
      curve.points = [];
      fresh = true;
    }
    // An attempt that is made again after a crash may tell an epoch again, with the same numbers.
    while (curve.points.length && curve.points.at(-1).epoch >= point.epoch) curve.points.pop();
    curve.points.push(point);
    listener();
  });
  stream.addEventListener("state", () => ended());
  stream.addEventListener("end", () => {
    curve.complete = true;
    close(curve);
    ended();
  });
  stream.onerror = () => {
    // The browser comes back by itself unless it was refused, as with too many streams: then the
    // curve is fetched with every look.
    if (stream.readyState === EventSource.CLOSED) [curve.stream, curve.refused] = [null, true];
  };
}

function close(curve) {
  curve.stream?.close();
  curve.stream = null;
}

function closeAll() {
  for (const curve of curves.values()) close(curve);
}
