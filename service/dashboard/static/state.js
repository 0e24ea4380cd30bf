// What the page knows, and who wants to hear of it.

export const state = {
  loaded: false,
  online: true,
  health: null,
  models: [],
  model: "default",
  info: null, // GET /models/{model}; null while it has no version
  versions: [],
  moreVersions: null, // cursor of the next page
  jobs: [],
  moreJobs: null,
  looked: null, // a version somebody looks at instead of the active one
  shown: null, // {version, params, fit, problem} of the version on screen
  compared: null, // ids of jobs whose curves are drawn; null follows the newest
  prediction: null, // the last one, drawn into the fit
};

const listeners = [];

/** Call `listener` whenever one of these members has changed. */
export function on(names, listener) {
  listeners.push([names, listener]);
}

/** Change members; whoever listens to one that really changed is called once. */
export function set(patch) {
  const changed = Object.keys(patch).filter((name) => !same(state[name], patch[name]));
  for (const name of changed) state[name] = patch[name];
  for (const [names, listener] of listeners) {
    if (names.some((name) => changed.includes(name))) listener();
  }
}

function same(a, b) {
  return a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));
}

export const isActive = (job) => job.state === "queued" || job.state === "running";

export const shownNumber = () => state.looked ?? state.info?.active_version ?? null;

/** The jobs whose curves are drawn, newest first. */
export function comparedJobs() {
  if (state.compared === null) return state.jobs.slice(0, 1);
  return state.jobs.filter((job) => state.compared.includes(job.id));
}

/** A short name of a job: the version it made, or the first letters of its id. */
export const jobName = (job) => (job.version === null ? `job ${job.id.slice(0, 6)}` : `version ${job.version}`);
