// Does every formula of the notes parse?  KaTeX, strict, with a few habits GitHub insists on.
//
//     npm install --prefix /some/folder katex            (once, outside the repository)
//     NODE_PATH=/some/folder/node_modules node derivations/check_formulas.mjs [folder or file.md ...]
//
// Without arguments: the folder of this script.  Prints file:line and the error of every formula that
// fails, then a count; exits 1 if any failed.  A formula is a ```math block or an inline $`...`$; any other
// dollar sign outside code is an error, because GitHub eats backslashes between plain dollars.

import { readFileSync, readdirSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const katex = createRequire(import.meta.url)("katex"); // require, not import: it looks in NODE_PATH
const FENCE = /^ *(`{3,}|~{3,}) *(\w*)[^\n]*\n([\s\S]*?)\n *\1`* *$/gm;
const REFUSED_BY_GITHUB = /\\(operatorname|label|ref|eqref|require|def|newcommand|href|includegraphics|style|class|html\w*)\b/;

let formulas = 0;
let failures = 0;

function fail(file, text, offset, message) {
  failures += 1;
  console.log(`${file}:${text.slice(0, offset).split("\n").length}: ${message}`);
}

function parse(file, text, offset, formula, displayMode) {
  formulas += 1;
  try {
    katex.renderToString(formula, { displayMode, throwOnError: true, strict: "error" });
  } catch (error) {
    fail(file, text, offset, `${error.message}\n    ${formula.trim()}`);
  }
  const refused = formula.match(REFUSED_BY_GITHUB);
  if (refused) fail(file, text, offset, `GitHub refuses ${refused[0]}`);
  if (/\S<|<\S/.test(formula)) fail(file, text, offset, "GitHub takes < without spaces around it for HTML");
  if (displayMode && formula.replace(/\\begin\{(\w+\*?)\}[\s\S]*?\\end\{\1\}/g, "").includes("\\\\"))
    fail(file, text, offset, "a line break \\\\ needs \\begin{aligned} around it");
}

function blank(string) {
  return string.replace(/[^\n]/g, " "); // same length and lines, so that offsets stay right
}

function check(file) {
  const text = readFileSync(file, "utf-8");
  let rest = text.replace(FENCE, (block, ticks, language, body, offset) => {
    if (language === "math") parse(file, text, offset + block.indexOf("\n") + 1, body, true);
    return blank(block);
  });
  for (const unclosed of rest.matchAll(/^ *(```|~~~)/gm)) fail(file, text, unclosed.index, "a fence that is not closed");
  rest = rest.replace(/\$`([^`]+)`\$/g, (span, formula, offset) => {
    parse(file, text, offset, formula, false);
    if (/\n *\n/.test(formula)) fail(file, text, offset, "an inline formula across paragraphs");
    const line = rest.slice(rest.lastIndexOf("\n", offset) + 1, offset);
    if (/[\w-]$/.test(line)) fail(file, text, offset, "GitHub shows a formula right after a letter, digit or hyphen as source");
    if (/\[[^\]]*$/.test(line) && /^[^\[]*?\]\(/.test(rest.slice(offset + span.length))) fail(file, text, offset, "GitHub shows a formula in a link as source");
    if (/^ *\|/.test(line) && formula.includes("|")) fail(file, text, offset, "| in a table's formula: use \\mid, \\lvert or \\Vert");
    return blank(span);
  });
  rest = rest.replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, blank);
  for (const dollar of rest.matchAll(/\$+/g)) fail(file, text, dollar.index, `${dollar[0]} outside code: displays are \`\`\`math blocks, inline formulas $\`...\`$`);
}

const given = process.argv.length > 2 ? process.argv.slice(2) : [dirname(fileURLToPath(import.meta.url))];
const isNote = (name) => name.endsWith(".md");
const files = given.flatMap((path) => (statSync(path).isDirectory() ? readdirSync(path).filter(isNote).sort().map((name) => join(path, name)) : [path]));
files.forEach(check);
console.log(`${formulas} formulas in ${files.length} files, ${failures} failures`);
process.exit(failures || !formulas ? 1 : 0);
