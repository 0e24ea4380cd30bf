// What the service says, in the words of the page: it speaks of members of JSON, the page of labels.

import { capital, proseOf } from "./format.js";

const RULES = [
  [/^Input should be greater than or equal to (\S+)$/, "Enter $1 or more"],
  [/^Input should be greater than (\S+)$/, "Enter a number above $1"],
  [/^Input should be less than or equal to (\S+)$/, "Enter $1 or less"],
  [/^Input should be less than (\S+)$/, "Enter a number below $1"],
  [/^expected a (?:finite )?number, got .*$/, "Enter a number, such as 0.5"],
  [/^expected a whole number, got .*$/, "Enter a whole number, such as 100"],
  [/^expected a number within float32 .*$/, "This number is too large"],
  [/^weight \* x \+ bias leaves the range of float32$/, "These numbers are too large"],
  [/^List should have at least 1 item.*$/, "Enter at least one number"],
  [/^String should have at most (\d+) characters?$/, "A name may have at most $1 characters"],
  [/^the names must differ from each other$/, "Two columns of the header have the same name"],
  [/^end (\S+) must be above start (\S+)$/, "Enter a number above $2, which is “From x”"],
  [/^step \S+ makes more than (\S+) rows$/, "This makes more than $1 rows: enter a larger step"],
  [/^train (\S+) and validation (\S+) add up to more than 1$/, "The shares $1 and $2 add up to more than 1"],
  [/^(.+) asked, at most (.+) allowed$/, "$1, and at most $2 are allowed"],
  [/^`parameters` takes one feature.*$/, "“Two parameters” takes one column to predict from; choose “Linear”"],
  [/^`lbfgs`/, "L-BFGS"],
  [/leave batch_size null/, "leave “Batch size” empty"],
  [/leave clip_grad_norm null/, "leave “Clip gradients” empty"],
  [/leave schedule constant/, "leave “Schedule” constant"],
  [/another batch_size/, "another “Batch size”"],
  [/lower split\.train/, "lower “Share to train”"],
  [/the learning rate \(optimizer\.lr\) or set standardize to true/, "“Learning rate” or set “Standardize” to yes"],
  [/send "missing": "drop" to leave their rows out/, "tick “Leave out rows with a missing cell”"],
  // Files.
  [/^the body is empty: expected a file of rows$/, "The file is empty"],
  [/^the file has a header and no rows$/, "The file has only a header, and no rows"],
  [/a NUL byte, which no text has: save the file as UTF-8/, "this is no text in UTF-8: save the table as CSV (UTF-8)"],
  [/; name the column in text to read it as text$/, ""],
  [/expected a number, found (a number )/, "$1"],
  [/ or send decimal=comma$/, ", or press “Read with decimal comma”"],
  [/where decimal=comma was sent/, "where a decimal comma was expected"],
];

/** A sentence of the service for a person; what no rule knows stays as it is. */
export const plain = (sentence) => RULES.reduce((words, [found, meant]) => words.replace(found, meant), sentence);

/** What is wrong with a file, one sentence a fault, with its place named once. */
export function fileWords({ detail, line, column }) {
  const words = plain(detail);
  if (/^line \d/.test(words)) return capital(words);
  const place = [line && `line ${line}`, column && `column ${column}`].filter(Boolean).join(", ");
  return capital(place ? `${place}: ${words}` : words);
}

/** How a job that has ended has ended, and which version answers now. */
export function endOf({ state, version, promotion, error }) {
  if (state === "failed") return `The training failed: ${proseOf(plain(error?.message ?? "no reason is known"))}.`;
  const done = `Version ${version} is trained`;
  if (promotion.promoted) return `${done} and answers now.`;
  const { reason } = promotion;
  const rival = /version \d+/.exec(reason)?.[0];
  if (reason.startsWith("worse") && rival) return `${done}; ${rival} still answers, it is better.`;
  if (reason.includes("other features") && rival) return `${done}; ${rival} still answers: the new one takes other columns. Activate it if that is what you want.`;
  if (reason === "promote is never") return `${done}, and not made active, as you asked.`;
  return `${done}, but not made active: ${proseOf(reason)}.`;
}
