// The machines a page knows: loaded from a snapshot, kept current by live points.

import { Rates, seriesKey } from "./live.js";

const READY = { running: ["good", "play", "Running"], reporting: ["good", "circle-check", "Reporting"] };
export const STATES = {
  ...READY,
  paused: ["warn", "pause", "Paused"],
  stopping: ["idle", "square", "Stopping"],
  stopped: ["idle", "square", "Stopped"],
  suspended: ["idle", "moon", "Suspended"],
  crashed: ["bad", "circle-x", "Crashed"],
  blocked: ["bad", "triangle-alert", "Blocked"],
  unknown: ["idle", "circle-help", "Unknown"],
  silent: ["warn", "clock-alert", "Not reporting"],
};
export const ATTENTION = new Set(["crashed", "blocked", "paused", "unknown", "silent"]);
export const UNKNOWN = new Set(["silent", "unknown"]); // nobody can say what is sensible then

// Metrics of every machine, and those of the machines on the screen.
export const EVERYWHERE = [
  "vm.state",
  "vm.cpu.utilization",
  "system.cpu.utilization",
  "libvirt.host.cpu.time",
];
export const ON_SCREEN = [
  "vm.memory.usage",
  "vm.network.io",
  "vm.disk.io",
  "system.memory.usage",
  "libvirt.host.memory.usage",
  "system.network.io",
  "system.disk.io",
];

const DIRECTIONS = { receive: "received", transmit: "sent", read: "read", write: "written" };
// A host's traffic is counted where it leaves the host, not again at each guest's interface.
const INNER_INTERFACE = /^(lo$|vnet|tap|veth|virbr)/;
const FLOW_KEPT = 60000; // a counter that is silent for longer has no rate

export class Machines {
  constructor() {
    this.all = new Map();
    this.rates = new Rates();
  }

  // `columns` has one list per property. A live value that is newer stays. Who reported after an
  // older snapshot was made is not known: nobody is called silent for its `age` in milliseconds.
  load(columns, age = 0) {
    const known = this.all;
    this.all = new Map();
    columns.id.forEach((id, index) => {
      const machine = known.get(id) || { id, flows: new Map(), modes: {}, spent: {} };
      const isNewer = !(machine.seen > columns.seen[index]);
      for (const name of Object.keys(columns)) {
        const value = columns[name][index];
        if (isNewer || machine[name] === undefined || machine[name] === null) machine[name] = value;
      }
      for (const name of ["name", "kind", "host", "staleAfter"]) {
        machine[name] = columns[name][index];
      }
      machine.staleAfter += age;
      this.all.set(id, machine);
    });
    for (const machine of this.all.values()) {
      const host = this.all.get(machine.host);
      machine.hostName = host ? host.name : machine.host;
      machine.words = `${machine.name} ${machine.id} ${machine.hostName}`.toLowerCase();
    }
  }

  // Takes points; returns the machines that changed and whether one of them is new to us.
  apply(points) {
    const changed = new Set();
    let hasUnknown = false;
    for (const point of points) {
      const machine = this.all.get(point[1]);
      if (machine) {
        this.take(machine, point);
        changed.add(machine);
      } else hasUnknown ||= EVERYWHERE.includes(point[0]);
    }
    return { changed, hasUnknown };
  }

  take(machine, point) {
    const [metric, , attributes, time, value] = point;
    if (time > machine.seen) machine.seen = time;
    if (metric === "vm.state") {
      if (value === 1) machine.state = attributes["vm.state"];
    } else if (metric === "vm.cpu.utilization") machine.cpu = value;
    else if (metric === "system.cpu.utilization") this.mode(machine, attributes["cpu.mode"], value);
    else if (metric === "libvirt.host.cpu.time") this.hypervisor(machine, point);
    else if (metric === "vm.memory.usage") machine.memory = value;
    else if (metric.endsWith(".memory.usage")) {
      if (attributes["system.memory.state"] === "used") machine.memory = value;
    } else this.flow(machine, point);
  }

  // A CPU that idles or waits for a disk is not busy.
  mode(machine, mode, share) {
    if (!["idle", "iowait"].includes(mode)) return;
    machine.modes[mode] = share;
    machine.cpu = Math.max(0, 1 - (machine.modes.idle ?? 0) - (machine.modes.iowait ?? 0));
  }

  // libvirt tells a host's CPU time by mode: the share is of what all modes together grew.
  hypervisor(machine, point) {
    const rate = this.rates.push(point);
    if (rate === null || machine.modes.idle !== undefined) return;
    machine.spent[point[2]["cpu.mode"]] = rate;
    const total = Object.values(machine.spent).reduce((sum, part) => sum + part, 0);
    const { idle = 0, iowait = 0 } = machine.spent;
    if (total > 0) machine.cpu = Math.max(0, 1 - (idle + iowait) / total);
  }

  // A machine's rate in one direction is the sum over its disks or interfaces.
  flow(machine, point) {
    const [, , attributes, time] = point;
    if (INNER_INTERFACE.test(attributes["network.interface.name"] || "")) return;
    const direction = attributes["network.io.direction"] || attributes["disk.io.direction"];
    const property = DIRECTIONS[direction];
    const rate = this.rates.push(point);
    if (!property || rate === null) return;
    const device = seriesKey(point);
    machine.flows.set(device, { property, rate, time });
    let sum = 0;
    for (const [key, flow] of machine.flows) {
      if (time - flow.time > FLOW_KEPT) machine.flows.delete(key);
      else if (flow.property === property) sum += flow.rate;
    }
    machine[property] = sum;
  }
}

export function isSilent(machine, now) {
  return now - machine.seen > machine.staleAfter;
}

export function stateOf(machine, now) {
  if (isSilent(machine, now)) return "silent";
  if (machine.kind === "host") return "reporting";
  return STATES[machine.state] ? machine.state : "unknown";
}
