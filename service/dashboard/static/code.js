// What is on screen as a command for a shell and as lines of Python.

import { $, tabs, toast } from "./dom.js";
import { predictionBody, predictionFault } from "./predict.js";
import { state, shownNumber } from "./state.js";
import { trainedModel, trainingBody, trainingFault } from "./train.js";
import { plain } from "./words.js";

const WHAT = [["predict", "Predict"], ["train", "Train"]];
const HOW = [["curl", "curl"], ["python", "Python"]];
const LONGEST = 4000;

let what = "predict";
let how = "curl";

export function startCode() {
  $("copy").addEventListener("click", copy);
  render();
}

export function render() {
  tabs($("code-what"), WHAT, what, (key) => { what = key; render(); });
  tabs($("code-how"), HOW, how, (key) => { how = key; render(); });
  $("snippet").textContent = snippet();
  $("snippet-hint").textContent = how === "python" ? "Needs Refit’s package: “pip install .” in its source folder" : "";
}

function snippet() {
  const body = what === "predict" ? predictionBody() ?? { x: [0.5] } : trainingBody();
  const model = what === "predict" ? state.model : trainedModel() || state.model;
  // What nobody could send is no example.
  const fault = what === "predict" ? predictionFault() : trainingFault();
  if (fault) return `# First mend the form under ${what === "predict" ? "Predict" : "Train"}:\n# ${plain(fault).replace(/\s+/g, " ")}`;
  const base = new URL(".", document.baseURI).href.replace(/\/$/, "");
  return how === "curl" ? curl(base, model, body) : python(base, model, body);
}

function curl(base, model, body) {
  const version = lookedVersion() ? `/versions/${lookedVersion()}` : "";
  const short = model === "default" && !version;
  const path = short ? `/${what}` : `/models/${model}${version}/${what}`;
  const text = what === "predict" ? JSON.stringify(body) : inLines(body);
  // -w: a shell's prompt stands in a line of its own then.
  const lines = [`curl ${base}${path} \\`, "  -w '\\n' \\", "  -H 'Content-Type: application/json' \\"];
  if (what === "train") lines.push("  -H 'Prefer: wait=30' \\");
  const [start, end] = text.length > LONGEST ? ["# put the request into body.json, it is long\n", "  -d @body.json"] : ["", `  -d '${text.replaceAll("'", "'\\''")}'`];
  return start + [...lines, end].join("\n");
}

/** A JSON object with one member a line. */
const inLines = (body) => `{\n${Object.entries(body).map(([name, value]) => `    ${quoted(name)}: ${JSON.stringify(value)}`).join(",\n")}\n  }`;

function python(base, model, body) {
  const named = model === "default" ? "" : `, model=${quoted(model)}`;
  const head = `from service.client import Client\n\nclient = Client(${quoted(base)})\n`;
  if (what === "predict") {
    const rows = body.x ?? body.rows;
    const version = lookedVersion() ? `, version=${lookedVersion()}` : "";
    return `${head}print(client.predict(${literal(rows)}${named}${version}).y)`;
  }
  if (JSON.stringify(body).length > LONGEST) return `${head}import json\n\nspec = json.load(open("body.json"))  # the request, it is long\njob = client.train(**spec${named}).wait()\nprint(job.state, job.version)`;
  const fields = Object.entries(body).map(([name, value]) => `    ${name}=${literal(value)},`);
  if (model !== "default") fields.push(`    model=${quoted(model)},`);
  const call = fields.length ? `client.train(\n${fields.join("\n")}\n)` : "client.train()";
  return `${head}job = ${call}.wait()\nprint(job.state, job.version)`;
}

/** The version that is asked instead of the active one. */
const lookedVersion = () => (what === "predict" && shownNumber() !== state.info?.active_version ? shownNumber() : null);

const quoted = (text) => JSON.stringify(text);

/** A JSON value as Python writes it. */
function literal(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, inner]) => `${quoted(name)}: ${literal(inner)}`).join(", ")}}`;
  return JSON.stringify(value);
}

async function copy() {
  const words = $("snippet").textContent;
  try {
    await navigator.clipboard.writeText(words);
    toast("Copied.");
  } catch {
    // Without https there is no clipboard for pages: select it, so that Ctrl+C does it.
    getSelection().selectAllChildren($("snippet"));
    toast("Selected: press Ctrl+C to copy.");
  }
}
