// The columns of versions: whether the rows of one are those of another, and what that means to clients.

import { get, getIfThere, Problem, versionPath } from "./api.js";
import { listOf } from "./format.js";

const NAMED = 6; // columns that are named in a sentence
const known = new Map(); // "model version" -> a promise of {features, targets, categories}, null where it is gone

/** The columns that a version takes and answers; fetched once, since a version never changes. */
export function columnsOf(model, version) {
  const path = versionPath(model, version);
  if (!known.has(path)) {
    const asked = fetchColumns(path);
    known.set(path, asked);
    asked.then((columns) => { if (columns === null) known.delete(path); }, () => known.delete(path));
  }
  return known.get(path);
}

async function fetchColumns(path) {
  try {
    const [params, record] = await Promise.all([get(`${path}/params?state_dict=false`), getIfThere(path)]);
    return { features: params.feature_names, targets: params.target_names, categories: Object.keys(params.categories), isBootstrap: record?.origin === "bootstrap" };
  } catch (error) {
    if (error instanceof Problem) return null;
    throw error;
  }
}

/** Whether two versions take the same rows, as the service judges it. */
export function isSame(own, other) {
  const [mine, theirs] = [own.categories ?? [], other.categories ?? []];
  if (mine.length || theirs.length) return own.features.join() === other.features.join() && mine.toSorted().join() === theirs.toSorted().join() && areAlike(own.targets, other.targets);
  return areAlike(own.features, other.features) && areAlike(own.targets, other.targets);
}

/** Other names in the same places are taken for a renaming, the same names in other places are not. */
const areAlike = (mine, theirs) => mine.length === theirs.length && (mine.join() === theirs.join() || !mine.every((name) => theirs.includes(name)));

/** What clients must do when one version answers in place of another, as a sentence; null where nothing. */
export function changeFor(before, after) {
  if (!before || !after) return null;
  const [was, is] = [before.features, after.features];
  const isOther = was.toSorted().join() !== is.toSorted().join();
  const moved = isOther ? `Clients must send ${listOf(is, NAMED)} instead of ${listOf(was, NAMED)}.`
    : was.join() !== is.join() ? `Clients that send rows without names must send the columns in another order: ${listOf(is, NAMED)}.` : "";
  const answers = before.targets.join() === after.targets.join() ? "" : `They get ${listOf(after.targets, NAMED)} instead of ${listOf(before.targets, NAMED)}.`;
  return [moved, answers && !moved ? answers.replace("They", "Clients") : answers].filter(Boolean).join(" ") || null;
}
