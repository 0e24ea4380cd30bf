// Rows pasted from a spreadsheet, a file or a mail: cells between tabs, semicolons, commas or spaces.

import { count } from "./format.js";
import { DECIMAL_COMMA, PLAIN } from "./numbers.js";

const DELIMITERS = [["\t", "tabs"], [";", "semicolons"], [",", "commas"], [/\s+/, "spaces"]];
const MOST_FAULTS = 3;

/**
 * The rows of a text: {names, rows, lines, between, comma}. A cell is a number, or its text where it is none;
 * `lines` are the numbers of the lines the rows come from; `comma` is the first cell whose comma was taken for a
 * decimal one, if there is any. A first line without any number is a header.
 */
export function parsePoints(pasted) {
  const written = pasted.split(/\r\n|\r|\n/).map((line, index) => [line.trim(), index + 1]).filter(([line]) => line !== "");
  if (written.length === 0) return { names: null, rows: [], lines: [], between: null, comma: null };
  const [delimiter, between] = DELIMITERS.find(([mark]) => splits(written, mark)) ?? DELIMITERS.at(-1);
  const takesComma = delimiter !== ",";
  const table = written.map(([line, number]) => [line.split(delimiter).map((value) => cell(value.trim(), takesComma)), number]);
  const comma = takesComma ? written.flatMap(([line]) => line.split(delimiter)).map((value) => value.trim()).find((value) => DECIMAL_COMMA.test(value)) ?? null : null;
  const isHeader = table[0][0].every((value) => typeof value === "string") && table.length > 1;
  const names = isHeader ? table.shift()[0].map((name) => String(name).replace(/^"(.*)"$/, "$1")) : null;
  return { names, rows: table.map(([cells]) => cells), lines: table.map(([, number]) => number), between, comma };
}

/** Whether a delimiter stands in the first lines, all of them. */
function splits(written, mark) {
  const looked = written.slice(0, 20);
  const counts = looked.map(([line]) => line.split(mark).length);
  return counts[0] > 1 && counts.filter((count) => count === counts[0]).length >= looked.length / 2;
}

function cell(value, takesComma) {
  const plain = value.replace(/^"(.*)"$/, "$1").replace("−", "-");
  if (PLAIN.test(plain)) return Number(plain);
  if (takesComma && DECIMAL_COMMA.test(plain)) return Number(plain.replace(",", "."));
  return value;
}

/** What keeps rows from being trained on, in words, the first of it; nothing where they are good. */
export function pointsFaults({ names, rows, lines }) {
  if (rows.length === 0) return ["Paste at least one row, such as 30 67"];
  const wanted = names?.length ?? rows[0].length;
  if (wanted < 2) return ["Each line needs at least two numbers; the last is what to predict"];
  const found = [];
  rows.forEach((cells, index) => {
    if (found.length >= MOST_FAULTS) return;
    const place = cells.findIndex((value) => !Number.isFinite(value));
    if (cells.length !== wanted) found.push(`Line ${lines[index]}: ${count(cells.length, "cell")}, where the ${names ? "header" : "first line"} has ${wanted}`);
    else if (place >= 0) found.push(`Line ${lines[index]}, column ${place + 1}: ${whyNot(cells[place])}`);
  });
  return found;
}

function whyNot(value) {
  if (value === "") return "nothing stands here";
  return typeof value === "number" ? "this number is too large" : `“${value.length > 20 ? `${value.slice(0, 20)}…` : value}” is no number`;
}

/** The names of the columns, those that the service gives where there is no header: {features, targets}. */
export function columnsOf({ names, rows }) {
  const wide = (names ?? rows[0] ?? []).length - 1;
  const features = names?.slice(0, -1) ?? (wide === 1 ? ["x"] : Array.from({ length: Math.max(0, wide) }, (_, index) => `x${index + 1}`));
  return { features, targets: names?.slice(-1) ?? ["y"] };
}

/** The member `data` of a training: the last column is y, all before it are x. */
export function pointsData({ names, rows }) {
  const x = rows.map((cells) => cells.slice(0, -1));
  const y = rows.map((cells) => cells.at(-1));
  const isOne = x.every((cells) => cells.length === 1);
  const data = { source: "points", x: isOne ? x.map(([value]) => value) : x, y };
  if (names && names.length > 1) {
    data.feature_names = names.slice(0, -1);
    data.target_names = names.slice(-1);
  }
  return data;
}

/** The text that would be pasted for these points. */
export function pointsText({ x, y, feature_names: features, target_names: targets }) {
  const names = features && targets ? [[...features, ...targets]] : [];
  const rows = x.map((cells, index) => [cells, y[index]].flat());
  return [...names, ...rows].map((cells) => cells.join("\t")).join("\n");
}

/** Where in the pasted text a fault is: "line 4, column 2: …". */
export function placeOf(fault, { lines }, rows) {
  const found = /^\/data\/(x|y)\/(\d+)(?:\/(\d+))?/.exec(fault.pointer);
  if (!found) return fault.detail;
  const [, axis, row, column] = found;
  const number = lines[Number(row)];
  if (number === undefined) return fault.detail;
  const place = axis === "y" ? (rows[Number(row)]?.length ?? 1) : Number(column ?? 0) + 1;
  return `Line ${number}, column ${place}: ${fault.detail}`;
}
