// A small line of shares 0…1; the server sends one character per point (query/fleet.py).

import { s } from "./elements.js";

const LEVELS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+/";
const WIDTH = 112;
const HEIGHT = 24;
const LEVEL = new Map([...LEVELS].map((letter, level) => [letter, level / (LEVELS.length - 1)]));

export function sparkline() {
  const view = `0 0 ${WIDTH} ${HEIGHT}`;
  return s(
    "svg",
    { class: "spark", viewBox: view, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("path", { class: "spark-area" }),
    s("path", { class: "spark-line" }),
  );
}

export function drawSparkline(svg, code = "") {
  if (svg.code === code) return;
  svg.code = code;
  const runs = [...code.matchAll(/\S+/g)].map((run) => points(run, code.length));
  const line = runs.map((run) => `M${run.map((point) => point.join(" ")).join("L")}`).join("");
  const area = runs.map((run) => shape(run)).join("");
  svg.lastChild.setAttribute("d", line);
  svg.firstChild.setAttribute("d", area);
}

function points(run, total) {
  const step = WIDTH / Math.max(total - 1, 1);
  const made = [...run[0]].map((letter, index) => [
    ((run.index + index) * step).toFixed(1),
    (1 + (HEIGHT - 2) * (1 - LEVEL.get(letter))).toFixed(1),
  ]);
  return made.length > 1 ? made : [made[0], [Number(made[0][0]) + 1, made[0][1]]];
}

function shape(run) {
  const body = run.map((point) => point.join(" ")).join("L");
  return `M${run[0][0]} ${HEIGHT}L${body}L${run.at(-1)[0]} ${HEIGHT}Z`;
}
