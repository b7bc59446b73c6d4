// Fleet's strip of totals.

import { h, icon, setText } from "./elements.js";
import { bytes, count, percent, size } from "./format.js";
import { FILTERS, meter, setMeter } from "./fleet_table.js";
import { stateOf } from "./machines.js";

export class Summary {
  constructor(root) {
    this.hosts = tile("Hosts");
    this.vms = tile("Virtual machines");
    this.cpu = tile("Fleet CPU", true);
    this.memory = tile("Fleet memory", true);
    root.replaceChildren(...[this.hosts, this.vms, this.cpu, this.memory].map((t) => t.root));
  }

  update(machines, now) {
    const states = { host: new Map(), vm: new Map() };
    const totals = { cpus: 0, busy: 0, memory: 0, limit: 0 };
    for (const machine of machines.values()) {
      const state = stateOf(machine, now);
      const tally = states[machine.kind] || states.vm;
      tally.set(state, (tally.get(state) || 0) + 1);
      if (machine.kind === "host" && state !== "silent") addCapacity(totals, machine);
    }
    showStates(this.hosts, states.host, HOST_GROUPS);
    showStates(this.vms, states.vm, VM_GROUPS);
    const busy = totals.cpus ? totals.busy / totals.cpus : null;
    const used = totals.limit ? totals.memory / totals.limit : null;
    show(this.cpu, percent(busy), cores(totals), busy);
    show(this.memory, percent(used), `${bytes(totals.memory)} of ${size(totals.limit)}`, used);
  }
}

function addCapacity(totals, host) {
  if (host.cpus && host.cpu !== null) {
    totals.cpus += host.cpus;
    totals.busy += host.cpus * host.cpu;
  }
  if (host.memoryLimit && host.memory !== null) {
    totals.limit += host.memoryLimit;
    totals.memory += host.memory;
  }
}

function cores({ busy, cpus }) {
  return `${count(busy)} of ${cpus === 1 ? "1 CPU" : `${cpus.toLocaleString("en")} CPUs`}`;
}

function tile(title, hasMeter = false) {
  const value = h("div", { class: "tile-value number" });
  const detail = h("div", { class: "tile-detail" });
  const bar = hasMeter ? meter() : null;
  const root = h("div", { class: "tile card" }, h("div", { class: "tile-title" }, title), value, detail, bar);
  return { root, value, detail, bar };
}

function show({ value, detail, bar }, text, note, share) {
  setText(value, text);
  setText(detail, share === null ? "no host reports" : note);
  setMeter(bar, share);
}

const VM_GROUPS = [
  ["running", "good", "play", "running"],
  ["stopped", "idle", "square", "stopped"],
  ["attention", "warn", "triangle-alert", "to look at"],
];
const HOST_GROUPS = [
  ["reporting", "good", "circle-check", "reporting"],
  ["attention", "warn", "clock-alert", "not reporting"],
];

function showStates({ value, detail }, tally, groups) {
  const numbers = [...tally.values()];
  setText(value, numbers.reduce((sum, number) => sum + number, 0).toLocaleString("en"));
  const parts = groups
    .map(([name, ...looks]) => [countOf(name, tally), ...looks])
    .filter(([number]) => number > 0)
    .map((part) => statePart(...part));
  const text = parts.map((part) => part.textContent).join();
  if (detail.dataset.shown === text) return;
  detail.dataset.shown = text;
  detail.replaceChildren(...parts);
}

function countOf(name, tally) {
  const matches = FILTERS[name]?.[1] || ((state) => state === name);
  const states = [...tally.keys()].filter(matches);
  return states.reduce((sum, state) => sum + tally.get(state), 0);
}

function statePart(number, tone, iconName, word) {
  const text = `${number.toLocaleString("en")} ${word}`;
  return h("span", { class: "status", "data-tone": tone }, icon(iconName), text);
}
