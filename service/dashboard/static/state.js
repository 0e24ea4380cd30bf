// What the page knows, and who wants to hear of it.

import { clock } from "./format.js";

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
  lookedSince: null, // id of the newest job when that look began
  shown: null, // {version, params, fit, problem, job} of the version on screen
  compared: null, // ids of jobs whose curves are drawn; null follows what is on screen
  files: {}, // names of datasets by their ids
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

/** Whether the version that a job made answers now, whatever was decided when it finished. */
export const isActiveNow = (job) => job.version !== null && job.model === state.model && job.version === state.info?.active_version;

export const shownNumber = () => state.looked ?? state.info?.active_version ?? null;

/** The jobs whose curves are drawn, newest first. */
export function comparedJobs() {
  if (state.compared !== null) return state.jobs.filter((job) => state.compared.includes(job.id));
  const job = state.looked === null ? current(state.jobs) : current(newJobs()) ?? jobOfShown();
  return job ? [job] : [];
}

/** The one that runs, since one that waits has nothing to show; else the newest. */
const current = (jobs) => jobs.find((job) => job.state === "running") ?? jobs[0];

/** The jobs that were asked for since somebody began to look at another version. */
function newJobs() {
  const place = state.jobs.findIndex((job) => job.id === state.lookedSince);
  return place < 0 ? [] : state.jobs.slice(0, place);
}

/** The job that made the version on screen; an old one is on no page of the list. */
function jobOfShown() {
  const { looked, shown } = state;
  return state.jobs.find((job) => job.version === looked) ?? (shown?.version.version === looked ? shown.job : undefined);
}

/** A short name of a job: the version it made, or when it was asked for. */
export const jobName = (job) => (job.version === null ? `training of ${clock(job.created_at)}` : `version ${job.version}`);

/** Whether the version that a job made is deleted, as far as the list on screen reaches. */
export function isDeleted(job) {
  if (job.version === null || !state.loaded) return false;
  const oldest = state.versions.at(-1)?.version ?? 0;
  return (state.moreVersions === null || job.version > oldest) && !state.versions.some((known) => known.version === job.version);
}
