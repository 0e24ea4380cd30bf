// Whether a version that is about to be trained will answer, in a sentence.

import { columnsOf, isSame } from "./columns.js";
import { state } from "./state.js";

/** `own` are the columns that would be trained on, null while they are not known. */
export async function whatWillBe(model, promote, own) {
  if (!state.loaded || model === "") return "";
  // Always the version that answers, whichever one is looked at.
  const active = model === state.model ? state.info?.active_version : state.models.find((known) => known.model === model)?.active_version;
  if (!active) return promote === "never" ? "A new model; its first version waits until you activate it." : "A new model; its first version answers at once.";
  if (promote === "never") return `A new version; version ${active} goes on answering.`;
  if (promote === "always") return `A new version; it answers in place of version ${active}.`;
  const columns = await columnsOf(model, active).catch(() => null);
  if (!columns || own === null || isSame(own, columns)) return `A new version; it answers if it is not worse than version ${active} on the new rows.`;
  if (columns.isBootstrap) return `A new version; it answers in place of version ${active}, which takes other columns.`;
  return `A new version; version ${active} takes other columns and goes on answering.`;
}
