// Training on a file: send it, or take one that was sent before, and choose its columns.

import { get, getIfThere, upload, wordsOf } from "./api.js";
import { announce, fill, h, scrollBox } from "./dom.js";
import { count, number, whole } from "./format.js";
import { fileWords } from "./words.js";

const TYPES = { csv: "text/csv", txt: "text/csv", tsv: "text/csv", ndjson: "application/x-ndjson", jsonl: "application/x-ndjson", parquet: "application/vnd.apache.parquet" };
const FEW_CATEGORIES = 30;
const NAMED = 4; // columns that are named in a sentence

const LOOKED_AT = 4096; // bytes of a file in which a picture or an archive shows itself
const SMALL = 65_536; // bytes of a file that is looked through for lines

/** Why a file is no table, in a sentence; null where the service may find one in it. */
async function whyNoTable(file, type) {
  if (file.size === 0) return `${file.name} is empty`;
  if (type === TYPES.parquet) return null;
  const bytes = new Uint8Array(await file.slice(0, LOOKED_AT).arrayBuffer());
  const isWide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff); // UTF-16: the service says how to save it
  // No text has these: below a space, only tab, line feed, form feed and the like are written.
  if (!isWide && bytes.some((byte) => byte < 9 || (byte > 13 && byte < 32))) return `${file.name} is not a table: send CSV, Parquet or JSON lines`;
  if (type === TYPES.csv && file.size <= SMALL && (await file.text()).trim().split(/\r\n|\r|\n/).length === 1) return `${file.name} has one line only: it needs a header and rows below it`;
  return null;
}

/**
 * The part of the form for files: `data()` is what to train on, null before a file is chosen; `faults()` say
 * what is missing to train on it.
 */
export function filePart(onChange) {
  let dataset = null;
  let failed = []; // why the last file cannot be trained on
  let pending = ""; // the name of the file that is being read
  let latest = 0; // of several files in a row, the last one counts
  const input = h("input", { type: "file", id: "file", class: "sr-only", accept: ".csv,.tsv,.txt,.ndjson,.jsonl,.parquet", onchange: () => input.files[0] && send(input.files[0]) });
  const status = h("p", { class: "hint", role: "status" });
  const error = h("p", { class: "error" });
  const again = h("button", { type: "button", hidden: true }, "Read with decimal comma");
  const drop = h("div", { class: "drop" },
    input,
    h("label", { for: "file", class: "button" }, "Choose a file"),
    h("p", { class: "hint" }, "or drop one here: CSV with a header, Parquet, or JSON lines"));
  const earlier = h("select", { "aria-label": "A file sent before", onchange: () => earlier.value && choose(earlier.value) });
  const columns = h("div", { class: "columns" });
  const element = h("div", { class: "stack", "data-pointer": "/data" }, drop, earlier, status, error, again, columns);

  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) send(event.dataTransfer.files[0]);
  });

  async function list() {
    const { datasets } = await get("datasets?limit=50").catch(() => ({ datasets: [] }));
    earlier.hidden = datasets.length === 0;
    fill(earlier, h("option", { value: "" }, "… or one sent before"),
      datasets.map((known) => h("option", { value: known.id }, `${known.name ?? known.id.slice(0, 8)} (${count(known.rows, "row")})`)));
    earlier.value = dataset?.id ?? "";
  }

  /** Forget the file before: what is trained is what is on screen. */
  function clear() {
    dataset = null;
    failed = [];
    pending = "";
    again.hidden = true;
    status.textContent = "";
    fill(error);
    fill(columns);
    onChange();
  }

  function refuse(words) {
    clear();
    failed = words;
    earlier.value = "";
    fill(error, words.map((line) => h("span", {}, line)));
    announce(words.join(" "));
  }

  async function send(file, options = {}) {
    clear();
    earlier.value = "";
    latest += 1;
    const mine = latest;
    const type = TYPES[file.name.split(".").pop().toLowerCase()] ?? "text/csv";
    const tell = (share) => { if (mine === latest) status.textContent = share < 1 ? `Sending ${file.name}: ${Math.round(share * 100)} %` : `Reading ${file.name} …`; };
    pending = file.name;
    tell(0);
    try {
      const why = await whyNoTable(file, type).catch(() => null);
      if (mine !== latest) return;
      if (why) {
        input.value = "";
        refuse([why]);
        return;
      }
      const found = await upload(file, type, tell, options);
      if (mine !== latest) return;
      show(found);
      await list();
    } catch (problem) {
      if (mine !== latest) return;
      refuse(problem.faults?.length ? problem.faults.map(fileWords) : [wordsOf(problem)]);
      again.hidden = !problem.faults?.some(({ detail }) => detail.includes("send decimal=comma"));
      again.onclick = () => send(file, { decimal: "comma" });
    }
    input.value = "";
  }

  async function choose(id) {
    clear();
    latest += 1;
    const mine = latest;
    const found = await get(`datasets/${id}`).catch(wordsOf);
    if (mine !== latest) return;
    if (typeof found === "string") refuse([found]);
    else show(found);
  }

  /** Begin with a dataset as it was trained on before; with nothing where it is gone. */
  async function take({ dataset: id, features, target }) {
    const found = await getIfThere(`datasets/${id}`).catch(() => null);
    if (!found) return;
    show(found);
    for (const box of columns.querySelectorAll("[name=feature]")) box.checked = features.includes(box.value);
    for (const radio of columns.querySelectorAll("[name=target]")) radio.checked = radio.value === [target].flat()[0];
    earlier.value = id;
    onChange();
  }

  function show(found) {
    if (found.columns.length < 2) return refuse([`${found.name ?? "The file"} has one column only: it needs at least two, one to predict and one to predict it from.`]);
    if (!found.columns.some(isNumeric)) return refuse([`No column of ${found.name ?? "the file"} holds numbers, so there is nothing to predict.`]);
    dataset = found;
    pending = "";
    status.textContent = `${found.name ?? "The file"}: ${count(found.rows, "row")}, ${count(found.columns.length, "column")}. Choose what to predict, and from what.`;
    renderColumns();
    onChange();
  }

  function renderColumns() {
    const numbers = dataset.columns.filter((column) => isNumeric(column));
    const target = numbers.at(-1)?.name;
    const rows = dataset.columns.map((column) => {
      const usable = isNumeric(column) || (column.type === "text" && column.categories !== null);
      const wanted = isNumeric(column) ? column.name !== target : usable && column.categories.length <= FEW_CATEGORIES && column.distinct < dataset.rows;
      return h("tr", { "data-column": column.name },
        h("th", { scope: "row", title: column.name }, column.name, h("small", {}, figures(column))),
        h("td", {}, h("input", { type: "checkbox", name: "feature", value: column.name, checked: wanted, disabled: !usable, "aria-label": `Predict from ${column.name}`, onchange: onChange })),
        h("td", {}, h("input", { type: "radio", name: "target", value: column.name, checked: column.name === target, disabled: !isNumeric(column), "aria-label": `Predict ${column.name}`, onchange: () => chooseTarget(column.name) })));
    });
    const missing = dataset.columns.some((column) => column.nulls > 0);
    fill(columns,
      scrollBox({ class: "columns-scroll", "aria-label": "Columns" },
        h("table", { class: "numbers" },
          h("thead", {}, h("tr", {}, ["Column", "From", "Predict"].map((head) => h("th", { scope: "col" }, head)))),
          h("tbody", {}, rows)), `${count(rows.length, "column")}: scroll to see all.`),
      missing && h("label", { class: "check-line" }, h("input", { type: "checkbox", name: "drop", checked: true, onchange: onChange }), " Leave out rows with a missing cell"));
  }

  function chooseTarget(name) {
    for (const box of columns.querySelectorAll("[name=feature]")) if (box.value === name) box.checked = false;
    onChange();
  }

  function data() {
    if (!dataset) return null;
    const chosen = [...columns.querySelectorAll("[name=feature]:checked")].map((box) => box.value);
    const target = columns.querySelector("[name=target]:checked")?.value;
    const categories = dataset.columns.filter((column) => column.type === "text" && chosen.includes(column.name)).map((column) => column.name);
    const asked = { source: "dataset", dataset: dataset.id, features: chosen.filter((name) => name !== target), target: target ?? "" };
    if (categories.length) asked.categories = categories;
    if (columns.querySelector("[name=drop]")?.checked) asked.missing = "drop";
    return asked;
  }

  function faults() {
    if (pending) return [`Still reading ${pending} …`];
    if (!dataset) return failed.length ? ["Choose another file.", ...failed] : ["Choose a file first."];
    const { features, target } = data();
    return [!target && "Choose the column to predict.", !features.length && "Tick at least one column under “From”."].filter(Boolean);
  }

  /** What would be predicted from what, also where the list hides it. */
  function words() {
    const { features, target } = data() ?? {};
    if (!target || !features.length) return "";
    return `${count(dataset.rows, "row")}: predict ${target} from ${features.length <= NAMED ? features.join(", ") : `${features.length} columns`}.`;
  }

  return { element, data, faults, list, take, words, rows: () => dataset?.rows ?? 0 };
}

const isNumeric = (column) => ["number", "integer", "boolean"].includes(column.type);

function figures(column) {
  const range = isNumeric(column) && typeof column.min === "number" ? `${number(column.min)} to ${number(column.max)}` : `${column.type}, ${whole(column.distinct)} different`;
  return column.nulls > 0 ? `${range}, ${whole(column.nulls)} missing` : range;
}
