// Fleet's table: what a row shows, how rows are ordered, grouped and filtered.

import { h, icon, setText } from "./elements.js";
import { labelPick, pickBox, setPick } from "./fleet_picks.js";
import { age, bytes, NONE, percent, rate, size } from "./format.js";
import { ATTENTION, isSilent, STATES, stateOf } from "./machines.js";
import { drawSparkline, sparkline } from "./sparkline.js";

const QUIET = matchMedia("(prefers-reduced-motion: reduce)");

const byText = new Intl.Collator(undefined, { numeric: true }).compare;
const sum = (a, b) => (a === null && b === null ? null : (a || 0) + (b || 0));
const share = ({ memory, memoryLimit }) =>
  memory === null || !memoryLimit ? null : memory / memoryLimit;

// Column: its head, whether it sorts high first, and the value it sorts by.
export const COLUMNS = {
  name: { title: "Name", value: (machine) => machine.name },
  state: { title: "State", value: (machine, now) => STATES[stateOf(machine, now)][2] },
  cpu: { title: "CPU", high: true, value: (machine) => machine.cpu },
  spark: { title: "Trend" },
  memory: { title: "Memory", high: true, value: share },
  network: { title: "Network", high: true, value: (m) => sum(m.received, m.sent) },
  disk: { title: "Disk", high: true, value: (m) => sum(m.read, m.written) },
  seen: { title: "Updated", high: true, value: (machine) => machine.seen },
};

export const FILTERS = {
  all: ["All", () => true],
  running: ["Running", (state) => state === "running"],
  stopped: ["Stopped", (state) => ["stopped", "stopping", "suspended"].includes(state)],
  attention: ["Attention", (state) => ATTENTION.has(state)],
};

// The machines in the order they are shown; hosts carry their VMs' number as `children`.
export function arrange(machines, choice) {
  const { sort, down, grouped, collapsed, now } = choice;
  const order = comparator(sort, down, now);
  const found = matching(machines, choice);
  if (!grouped) return found.sort(order);
  return group(machines, found, order, collapsed);
}

// Those that search and filter let through, in no order.
export function matching(machines, { words, filter, now }) {
  const terms = words.toLowerCase().split(/\s+/).filter(Boolean);
  const passes = FILTERS[filter][1];
  const matches = (machine) =>
    passes(stateOf(machine, now)) && terms.every((term) => machine.words.includes(term));
  return [...machines.values()].filter(matches);
}

function group(machines, found, order, collapsed) {
  const hosts = new Map();
  const heads = new Set();
  for (const machine of found) {
    const head = machine.kind === "host" ? machine : machines.get(machine.host);
    const key = head ? head.id : "";
    if (!hosts.has(key)) hosts.set(key, []);
    if (head) heads.add(head);
    if (machine !== head) hosts.get(key).push(machine);
  }
  const shown = [];
  for (const head of [...heads].sort(order)) {
    const children = hosts.get(head.id).sort(order);
    head.children = children.length;
    shown.push(head);
    if (!collapsed.has(head.id)) shown.push(...children);
  }
  return shown.concat((hosts.get("") || []).sort(order));
}

function comparator(sort, down, now) {
  const { value } = COLUMNS[sort];
  return (a, b) => {
    const [x, y] = [value(a, now), value(b, now)];
    const [noX, noY] = [x === null || x === undefined, y === null || y === undefined];
    if (noX || noY) return noX && noY ? byText(a.name, b.name) : noX - noY;
    const order = typeof x === "string" ? byText(x, y) : x - y;
    return (down ? -order : order) || byText(a.name, b.name) || byText(a.id, b.id);
  };
}

export function buildRow() {
  const cells = {
    pick: pickBox(""),
    fold: h("button", { class: "fold", "data-fold": true }, icon("chevron-right")),
    kind: h("span", { class: "icon" }),
    link: h("a", { class: "machine-link" }),
    note: h("span", { class: "machine-note" }),
    state: h("span", { class: "status" }, icon("circle-help"), h("span")),
    cpu: h("span", { class: "number" }),
    cpuMeter: meter(),
    spark: sparkline(),
    memory: h("span", { class: "number" }),
    memoryMeter: meter(),
    received: h("span", { class: "flow" }),
    sent: h("span", { class: "flow" }),
    read: h("span", { class: "flow" }),
    written: h("span", { class: "flow" }),
    seen: h("span", { class: "age" }),
  };
  const row = h(
    "div",
    { class: "row", role: "row" },
    cell("name", cells.pick, cells.fold, cells.kind, cells.link, cells.note),
    cell("state", cells.state),
    cell("cpu", cells.cpu, cells.cpuMeter),
    cell("spark", cells.spark),
    cell("memory", cells.memory, cells.memoryMeter),
    cell("network", flow("arrow-down", cells.received), flow("arrow-up", cells.sent)),
    cell("disk", flow("arrow-down", cells.read, "R"), flow("arrow-up", cells.written, "W")),
    cell("seen", cells.seen),
  );
  row.cells = cells;
  return row;
}

export function updateRow(row, machine, { now, grouped, collapsed, picks }) {
  const { cells } = row;
  const flash = row.machine === machine.id;
  row.machine = machine.id;
  const silent = isSilent(machine, now);
  row.className = `row row-${machine.kind}${silent ? " stale" : ""}${grouped ? " grouped" : ""}`;
  updateName(cells, machine, grouped, collapsed);
  updatePick(row, machine, picks);
  updateState(cells.state, stateOf(machine, now));
  write(cells.cpu, percent(machine.cpu), flash);
  setMeter(cells.cpuMeter, machine.cpu);
  drawSparkline(cells.spark, machine.spark);
  write(cells.memory, memoryText(machine), flash);
  setMeter(cells.memoryMeter, share(machine));
  for (const name of ["received", "sent", "read", "written"]) {
    write(cells[name], rate(machine[name]), flash);
  }
  updateAge(row, machine, now);
}

export function updateAge(row, machine, now) {
  setText(row.cells.seen, machine.seen ? age(now - machine.seen) : NONE);
}

export function updateState(element, state) {
  const [tone, iconName, word] = STATES[state];
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.dataset.tone = tone;
  element.firstChild.className = `icon icon-${iconName}`;
  setText(element.lastChild, word);
}

function updateName(cells, machine, grouped, collapsed) {
  const isHost = machine.kind === "host";
  cells.fold.hidden = !(grouped && isHost && machine.children);
  const isOpen = !collapsed.has(machine.id);
  cells.fold.setAttribute("aria-expanded", isOpen);
  cells.fold.setAttribute("aria-label", `${isOpen ? "Hide" : "Show"} the VMs of ${machine.name}`);
  cells.fold.dataset.fold = machine.id;
  cells.kind.className = `icon kind icon-${isHost ? "server" : "monitor"}`;
  setText(cells.link, machine.name);
  cells.link.title = machine.name;
  cells.link.href = `/machine/${encodeURIComponent(machine.id)}`;
  const vms = isHost && grouped && machine.children ? vmCount(machine.children) : "";
  setText(cells.note, isHost ? vms : grouped ? "" : machine.hostName);
}

function updatePick(row, machine, picks) {
  const { pick } = row.cells;
  const state = picks ? picks.stateOf(machine) : null;
  pick.dataset.pick = machine.id;
  setPick(pick, state);
  labelPick(pick, machine.kind === "host" ? `Select the VMs of ${machine.name}` : `Select ${machine.name}`);
  row.toggleAttribute("data-picked", machine.kind === "vm" && state === "all");
}

function vmCount(number) {
  return number === 1 ? "1 VM" : `${number.toLocaleString("en")} VMs`;
}

function memoryText(machine) {
  if (machine.memoryLimit === null) return bytes(machine.memory);
  return `${bytes(machine.memory)} / ${size(machine.memoryLimit)}`;
}

// A changed number lights up for a moment.
function write(element, text, flash) {
  if (element.textContent === text) return;
  element.textContent = text;
  if (flash && !QUIET.matches) {
    element.animate([{ background: "var(--flash)" }, { background: "transparent" }], 900);
  }
}

function cell(name, ...children) {
  return h("div", { class: `cell cell-${name}`, role: "cell" }, ...children);
}

function flow(iconName, text, letter) {
  const mark = letter ? h("span", { class: "flow-mark", "aria-hidden": "true" }, letter) : icon(iconName);
  return h("span", { class: "flow-pair" }, mark, text);
}

export function meter() {
  return h("span", { class: "meter", "aria-hidden": "true" }, h("i"));
}

export function setMeter(element, value) {
  const known = value !== null && value !== undefined;
  element.hidden = !known;
  if (!known) return;
  element.style.setProperty("--share", Math.min(Math.max(value, 0), 1).toFixed(3));
  element.dataset.level = value >= 0.95 ? "full" : value >= 0.8 ? "high" : "";
}
