// The Fleet page: a snapshot from the server, kept moving by the live path.

import { ask, Asking } from "./asking.js";
import { h, icon, remember, remembered, setText } from "./elements.js";
import { arrange, buildRow, COLUMNS, FILTERS, matching, updateAge, updateRow } from "./fleet_table.js";
import { Summary } from "./fleet_summary.js";
import { FleetOrders } from "./fleet_orders.js";
import { labelPick, pickBox, setPick } from "./fleet_picks.js";
import { Selection } from "./fleet_selection.js";
import { live } from "./live.js";
import { EVERYWHERE, Machines, ON_SCREEN, stateOf } from "./machines.js";
import { Rows } from "./rows.js";
import { retryButton, stateCard } from "./states.js";

const SNAPSHOT_EVERY = 60000;
const REFRESH_AFTER = 2500; // a page's first snapshot may be older than the page: a newer one is due
const NOTICES_EVERY = 20000;
const REORDER_EVERY = 5000;
const WIDE_ROW = 36;
const NARROW_ROW = 60;
const narrow = matchMedia("(max-width: 760px)");

// Without data there was no time to send it with the page: ask.
export function showSnapshot(data) {
  const view = currentView();
  if (data) view?.take(data.error ? data : { now: data.now, ...JSON.parse(data.text) });
  else view?.snapshot.now();
}

export function showSparklines(data) {
  const view = currentView();
  if (view && data && !data.error) view.takeSparklines(JSON.parse(data.text));
}

function currentView() {
  const root = document.getElementById("fleet");
  if (!root) return null;
  root.view ??= new FleetView(root);
  return root.view;
}

class FleetView {
  constructor(root) {
    this.root = root;
    this.machines = new Machines();
    this.collapsed = new Set();
    this.words = remembered("q");
    this.filter = remembered("state", "all");
    if (!FILTERS[this.filter]) this.filter = "all";
    this.grouped = remembered("group", "host") === "host";
    this.readSort(remembered("sort", "name"));
    this.orders = new FleetOrders(root.querySelector("#fleet-orders"));
    this.selection = new Selection(root.querySelector("#fleet-selection"), {
      machines: this.machines,
      onChange: () => this.showPicks(),
      onBegun: (operation) => this.orders.begun(operation.id),
    });
    setTimeout(() => this.notices.now(), 100);
    const onSilence = () => this.take({ error: { title: "The web UI's server does not answer" } });
    this.snapshot = new Asking("fleet-ask", { every: SNAPSHOT_EVERY, onSilence });
    this.notices = new Asking("notices-ask", { every: NOTICES_EVERY });
    this.stopListening = live.listen((points) => this.onPoints(points));
    this.clock = setInterval(() => this.onClock(), 1000);
  }

  readSort(text) {
    const name = text.replace(/^-/, "");
    this.sort = COLUMNS[name]?.value ? name : "name";
    this.down = text.startsWith("-");
  }

  take(data) {
    this.snapshot.answered(Boolean(data.error));
    if (data.error) {
      this.showError(data.error);
      return;
    }
    if (!this.takenAt) this.snapshot.plan(REFRESH_AFTER);
    this.takenAt = data.made;
    live.skew = data.now - Date.now();
    this.machines.load(data.machines, data.now - data.made);
    this.sparks?.(this.machines);
    this.showData();
    setTimeout(() => ask("sparklines-ask", Date.now()), 50);
  }

  takeSparklines({ start, end, lines }) {
    this.span = `Last ${spanWords(end - start)}`;
    this.showSpan();
    this.sparks = (machines) => {
      for (const [id, code] of Object.entries(lines)) {
        const machine = machines.all.get(id);
        if (machine) machine.spark = code;
      }
    };
    this.sparks(this.machines);
    this.rows?.render();
  }

  showSpan() {
    const head = this.root.querySelector(".table-head .cell-spark span");
    if (head && this.span) head.textContent = this.span;
  }

  showData() {
    this.root.querySelector("#fleet-trouble").replaceChildren();
    this.root.toggleAttribute("data-empty", !this.machines.all.size);
    if (!this.machines.all.size) {
      this.showEmpty();
      return;
    }
    if (!this.table) this.build();
    this.showSpan();
    this.arrange();
    this.summary.update(this.machines.all, live.now());
    this.root.dataset.ready = "true";
  }

  showEmpty() {
    this.table = null;
    this.root.querySelector("#fleet-summary").replaceChildren();
    const text = "A machine appears here within seconds of its agent's first report. On the machine:";
    const code = "novacron-agent --config agent.toml";
    const title = "No machine reports yet";
    this.body().replaceChildren(stateCard({ iconName: "radio-tower", title, text, code }));
    live.watch([{ metrics: EVERYWHERE, entities: null }]);
    this.root.dataset.ready = "true";
  }

  // Data that is there stays, as old data; a page without data says what is wrong.
  showError({ title, detail = "" }) {
    const retry = retryButton(() => this.snapshot.now());
    const trouble = this.root.querySelector("#fleet-trouble");
    if (this.table) {
      const since = new Date(this.takenAt).toLocaleTimeString();
      const text = h("p", {}, h("strong", {}, title), ` ${detail} What you see is from ${since}.`);
      trouble.replaceChildren(
        h("div", { class: "notice", "data-severity": "critical", role: "alert" }, icon("unplug"), text, retry),
      );
      return;
    }
    this.root.querySelector("#fleet-summary").replaceChildren();
    const text = `${detail} This page tries again by itself.`;
    this.body().replaceChildren(
      stateCard({ tone: "bad", iconName: "unplug", title, text, action: retry }),
    );
  }

  body() {
    return this.root.querySelector("#fleet-body");
  }

  build() {
    this.summary = new Summary(this.root.querySelector("#fleet-summary"));
    this.list = h("div", { class: "rows", role: "rowgroup" });
    this.nothing = h("div", { class: "nothing", hidden: true });
    this.head = this.buildHead();
    this.table = h("div", { class: "table card", role: "table", "aria-label": "Machines" }, this.head, this.list);
    this.body().replaceChildren(this.buildToolbar(), this.table, this.nothing);
    this.table.addEventListener("click", (event) => this.onClick(event));
    this.table.addEventListener("change", (event) => this.onPick(event));
    this.rows?.destroy();
    this.rows = new Rows(this.list, {
      height: () => (narrow.matches ? NARROW_ROW : WIDE_ROW),
      build: buildRow,
      update: (row, machine) => updateRow(row, machine, this.context()),
      onVisible: (machines) => this.watchSoon(machines),
    });
  }

  buildToolbar() {
    const search = h("input", {
      type: "search",
      class: "search-input",
      placeholder: "Search names, ids, hosts",
      "aria-label": "Search machines",
      autocomplete: "off",
      spellcheck: "false",
      value: this.words,
      oninput: () => this.choose({ words: search.value }),
    });
    this.chips = Object.entries(FILTERS).map(([name, [title]]) =>
      segment(title, h("span", { class: "count" }), () => this.choose({ filter: name }), name),
    );
    this.groups = [
      segment("By host", null, () => this.choose({ grouped: true }), "host"),
      segment("Flat", null, () => this.choose({ grouped: false }), "none"),
    ];
    return h(
      "div",
      { class: "toolbar" },
      h("label", { class: "search" }, icon("search"), search, h("kbd", {}, "/")),
      h("div", { class: "segments", role: "group", "aria-label": "State" }, ...this.chips),
      h("div", { class: "segments", role: "group", "aria-label": "Grouping" }, ...this.groups),
    );
  }

  buildHead() {
    this.pickAll = pickBox("Select all that match");
    const cells = Object.entries(COLUMNS).map(([name, column]) => {
      const content = column.value
        ? h("button", { type: "button", "data-sort": name }, column.title, icon("arrow-up"))
        : h("span", {}, column.title);
      const pick = name === "name" ? this.pickAll : null;
      return h("div", { class: `cell cell-${name}`, role: "columnheader", "data-column": name }, pick, content);
    });
    return h("div", { class: "row table-head", role: "row", "aria-rowindex": 1 }, ...cells);
  }

  choose(choice) {
    Object.assign(this, choice);
    remember("q", this.words);
    remember("state", this.filter, "all");
    remember("group", this.grouped ? "host" : "none", "host");
    remember("sort", (this.down ? "-" : "") + this.sort, "name");
    this.arrange();
  }

  onClick(event) {
    const sort = event.target.closest("[data-sort]")?.dataset.sort;
    const fold = event.target.closest("[data-fold]")?.dataset.fold;
    if (sort) {
      const down = sort === this.sort ? !this.down : Boolean(COLUMNS[sort].high);
      this.choose({ sort, down });
    } else if (fold) {
      if (!this.collapsed.delete(fold)) this.collapsed.add(fold);
      this.arrange();
    }
  }

  onPick({ target }) {
    const id = target.dataset.pick;
    if (target === this.pickAll) this.selection.pickAll(target.checked);
    else if (id) this.selection.toggle(this.machines.all.get(id), target.checked);
  }

  showPicks() {
    if (!this.table) return;
    const { selection } = this;
    const { matching } = selection;
    const number = matching.filter((vm) => selection.picked.has(vm.id)).length;
    setPick(this.pickAll, !matching.length ? null : !number ? "none" : number === matching.length ? "all" : "some");
    labelPick(this.pickAll, `Select all ${matching.length} VMs that match`);
    this.table.classList.toggle("selectable", selection.isOffered);
    this.rows.render();
  }

  context() {
    const { words, filter, sort, down, grouped, collapsed, selection } = this;
    return { words, filter, sort, down, grouped, collapsed, picks: selection, now: live.now() };
  }

  arrange() {
    this.arrangedAt = Date.now();
    this.isDirty = false;
    const items = arrange(this.machines.all, this.context());
    this.selection.setMatching(matching(this.machines.all, this.context()));
    this.table.setAttribute("aria-rowcount", items.length + 1);
    this.nothing.hidden = items.length > 0;
    setText(this.nothing, items.length ? "" : "No machine matches. Clear the search or choose All.");
    this.markChoices();
    this.rows.setItems(items);
    this.showPicks();
  }

  markChoices() {
    const now = live.now();
    const states = [...this.machines.all.values()].map((machine) => stateOf(machine, now));
    for (const chip of this.chips) {
      const name = chip.dataset.choice;
      chip.setAttribute("aria-pressed", name === this.filter);
      const number = states.filter(FILTERS[name][1]).length;
      setText(chip.querySelector(".count"), number.toLocaleString("en"));
    }
    const group = this.grouped ? "host" : "none";
    for (const button of this.groups) button.setAttribute("aria-pressed", button.dataset.choice === group);
    for (const cell of this.head.children) {
      const direction = this.down ? "descending" : "ascending";
      const isSorted = cell.dataset.column === this.sort;
      cell.setAttribute("aria-sort", isSorted ? direction : "none");
      cell.querySelector(".icon")?.classList.toggle("icon-arrow-down", isSorted && this.down);
    }
  }

  watchSoon(machines) {
    clearTimeout(this.watching);
    this.watching = setTimeout(() => {
      const entities = machines.map((machine) => machine.id).sort();
      live.watch([
        { metrics: EVERYWHERE, entities: null },
        { metrics: ON_SCREEN, entities },
      ]);
    }, 150);
  }

  onPoints(points) {
    if (!this.isMounted()) return;
    const { changed, hasUnknown } = this.machines.apply(points);
    if (hasUnknown) this.askSoon();
    if (!this.table) return;
    this.isDirty ||= changed.size > 0;
    for (const machine of changed) this.rows.touch(machine);
  }

  askSoon() {
    if (this.asking) return;
    this.asking = setTimeout(() => {
      this.asking = 0;
      this.snapshot.now();
    }, 2000);
  }

  onClock() {
    if (!this.isMounted() || !this.table || document.hidden) return;
    this.orders.tick();
    const now = live.now();
    const context = this.context();
    for (const [id, row] of this.rows.shown) {
      const machine = this.machines.all.get(id);
      const turned = machine && stateOf(machine, now) !== row.cells.state.dataset.state;
      if (turned) updateRow(row, machine, context);
      else if (machine) updateAge(row, machine, now);
    }
    this.summary.update(this.machines.all, now);
    this.selection.show();
    const isOld = Date.now() - this.arrangedAt > REORDER_EVERY;
    if (this.isDirty && isOld && !this.table.matches(":hover")) this.arrange();
  }

  // Dash replaced the page: this view is over.
  isMounted() {
    if (this.root.isConnected) return true;
    this.stopListening();
    clearInterval(this.clock);
    this.snapshot.stop();
    this.notices.stop();
    this.orders.destroy();
    this.selection.destroy();
    this.rows?.destroy();
    return false;
  }
}

function spanWords(milliseconds) {
  const minutes = Math.round(milliseconds / 60000);
  if (minutes < 60) return `${minutes} minutes`;
  return minutes === 60 ? "hour" : `${minutes / 60} hours`;
}

function segment(title, count, onclick, choice) {
  return h("button", { type: "button", class: "segment", onclick, "data-choice": choice }, title, count);
}
