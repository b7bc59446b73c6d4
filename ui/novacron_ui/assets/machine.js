// The Machine page: tiles, charts over a range, and the VMs of a host.

import { Asking } from "./asking.js";
import { h, icon, setText } from "./elements.js";
import { age, bytes, percent, rate, size } from "./format.js";
import { arrange, buildRow, meter, setMeter, updateRow, updateState } from "./fleet_table.js";
import { live } from "./live.js";
import { MachineOrders } from "./machine_orders.js";
import { EVERYWHERE, Machines, ON_SCREEN, stateOf } from "./machines.js";
import { Monitoring } from "./monitoring.js";
import { Panels } from "./panels.js";
import { Ranges } from "./ranges.js";
import { Rows } from "./rows.js";
import { retryButton } from "./states.js";

const SNAPSHOT_EVERY = 60000;
const ROW = 36;
const MAX_WATCHED = 200; // VMs of a host that move live

export function showSnapshot(data) {
  const view = currentView();
  if (view && data) view.take(data);
}

export function showMonitoring(data) {
  const view = currentView();
  if (view && data) view.monitoring.take(data);
}

function currentView() {
  const root = document.getElementById("machine");
  if (!root) return null;
  root.view ??= new MachineView(root);
  return root.view;
}

class MachineView {
  constructor(root) {
    this.root = root;
    this.entity = root.dataset.entity;
    this.machines = new Machines();
    this.tiles = new Tiles(root.querySelector("#machine-tiles"));
    const toolbar = root.querySelector("#machine-toolbar");
    this.ranges = new Ranges(toolbar, () => this.onRange());
    const context = { entity: this.entity, kind: root.dataset.kind, ranges: this.ranges };
    this.panels = new Panels(root.querySelector(".panels"), root.querySelector("#machine-empty"), context);
    this.monitoring = new Monitoring(root, { ...context, machines: this.machines, panels: this.panels });
    const { entity: id, name, may } = root.dataset;
    if (root.dataset.kind === "vm") this.orders = new MachineOrders(root, { id, name }, may.split(" "));
    const onSilence = () => this.take({ error: { title: "The web UI's server does not answer" } });
    this.snapshot = new Asking("machine-ask", {
      every: SNAPSHOT_EVERY,
      onSilence,
      question: () => ({ entity: this.entity, at: Date.now() }),
    });
    this.stopListening = live.listen((points) => this.onPoints(points));
    this.clock = setInterval(() => this.onClock(), 1000);
    this.panels.ask();
    this.watch();
  }

  take(data) {
    this.snapshot.answered(Boolean(data.error));
    const trouble = this.root.querySelector("#machine-trouble");
    if (data.error) {
      const { title, detail = "" } = data.error;
      const text = h("p", {}, h("strong", {}, title), ` ${detail} This page tries again by itself.`);
      const retry = retryButton(() => this.snapshot.now());
      const notice = { class: "notice", "data-severity": "critical", role: "alert" };
      trouble.replaceChildren(h("div", notice, icon("unplug"), text, retry));
      return;
    }
    trouble.replaceChildren();
    live.skew = data.made - Date.now();
    this.machines.load(data.machines);
    this.showVms();
    this.showNow();
    this.watch();
    this.root.dataset.ready = "true";
  }

  onRange() {
    this.panels.ask();
    this.monitoring.ask();
  }

  watch() {
    const vms = this.vms().map((machine) => machine.id).slice(0, MAX_WATCHED);
    const metrics = [...new Set([...EVERYWHERE, ...ON_SCREEN, ...this.panels.metrics()])];
    const topics = [{ metrics, entities: [this.entity] }];
    if (vms.length) topics.push({ metrics: [...EVERYWHERE, ...ON_SCREEN], entities: vms });
    live.watch([...topics, ...this.monitoring.topics(vms)]);
  }

  vms() {
    return [...this.machines.all.values()].filter((machine) => machine.id !== this.entity);
  }

  onPoints(points) {
    if (!this.isMounted()) return;
    const own = points.filter((point) => point[1] === this.entity);
    const { changed } = this.machines.apply(points);
    for (const machine of changed) {
      if (machine.id === this.entity) this.showNow();
      else this.rows?.touch(machine);
    }
    this.panels.extend(own, live.now());
    this.monitoring.onPoints(points);
  }

  onClock() {
    if (this.isMounted() && !document.hidden) {
      this.showNow();
      this.rows?.render();
      this.orders?.tick();
      this.monitoring.show();
    }
  }

  showNow() {
    const machine = this.machines.all.get(this.entity);
    if (!machine) return;
    this.tiles.update(machine);
    const now = live.now();
    this.badge ??= this.buildBadge();
    updateState(this.badge.firstChild, stateOf(machine, now));
    setText(this.badge.lastChild, `${age(now - machine.seen)} ago`);
    this.orders?.setState(stateOf(machine, now));
  }

  buildBadge() {
    const state = h("span", { class: "status" }, icon("circle-help"), h("span"));
    const badge = h("span", { class: "now" }, state, h("span", { class: "age" }));
    this.root.querySelector("#machine-state").replaceChildren(badge);
    return badge;
  }

  showVms() {
    const vms = new Map(this.vms().map((machine) => [machine.id, machine]));
    if (!vms.size) return;
    if (!this.rows) this.buildVms();
    const choice = { words: "", filter: "all", sort: "name", down: false, grouped: false };
    this.rows.setItems(arrange(vms, { ...choice, collapsed: new Set(), now: live.now() }));
  }

  buildVms() {
    const list = h("div", { class: "rows", role: "rowgroup" });
    const table = h("div", { class: "table card", role: "table", "aria-label": "Virtual machines" }, list);
    this.root.querySelector("#machine-vms").replaceChildren(h("h2", { class: "section-title" }, "Virtual machines"), table);
    const context = () => ({ now: live.now(), grouped: true, collapsed: new Set() });
    this.rows = new Rows(list, {
      height: () => (matchMedia("(max-width: 760px)").matches ? 60 : ROW),
      build: buildRow,
      update: (row, machine) => updateRow(row, machine, context()),
      onVisible: () => {},
    });
  }

  // Dash replaced the page: this view is over.
  isMounted() {
    if (this.root.isConnected) return true;
    this.stopListening();
    clearInterval(this.clock);
    this.snapshot.stop();
    this.rows?.destroy();
    this.orders?.destroy();
    this.panels.destroy();
    this.monitoring.destroy();
    return false;
  }
}

class Tiles {
  constructor(root) {
    this.cpu = tile("CPU", true);
    this.memory = tile("Memory", true);
    this.network = pair("Network", "In", "Out");
    this.disk = pair("Disk", "Read", "Write");
    root.replaceChildren(...[this.cpu, this.memory, this.network, this.disk].map((t) => t.root));
  }

  update({ cpu, cpus, memory, memoryLimit, received, sent, read, written }) {
    show(this.cpu, percent(cpu), cpus ? `of ${cpus.toLocaleString("en")} ${cpus === 1 ? "CPU" : "CPUs"}` : "", cpu);
    const used = memory === null || !memoryLimit ? null : memory / memoryLimit;
    const limit = memoryLimit ? `of ${size(memoryLimit)}` : "";
    show(this.memory, bytes(memory), memory === null && limit ? `${limit}; the guest does not tell` : limit, used);
    setText(this.network.first, rate(received));
    setText(this.network.second, rate(sent));
    setText(this.disk.first, rate(read));
    setText(this.disk.second, rate(written));
  }
}

function tile(title, hasMeter = false) {
  const value = h("div", { class: "tile-value number" });
  const detail = h("div", { class: "tile-detail" });
  const bar = hasMeter ? meter() : null;
  return { value, detail, bar, root: h("div", { class: "tile card" }, h("div", { class: "tile-title" }, title), value, detail, bar) };
}

function pair(title, firstName, secondName) {
  const [first, second] = [h("span", { class: "number" }), h("span", { class: "number" })];
  const line = (name, value) => h("div", { class: "tile-pair" }, h("span", {}, name), value);
  const lines = [line(firstName, first), line(secondName, second)];
  return { first, second, root: h("div", { class: "tile card" }, h("div", { class: "tile-title" }, title), ...lines) };
}

function show({ value, detail, bar }, text, note, share) {
  setText(value, text);
  setText(detail, note);
  if (bar) setMeter(bar, share);
}
