// The Operations page: all of them, or one with what became of each VM.

import { get } from "./api.js";
import { h, icon, setText, visit } from "./elements.js";
import { meter, setMeter } from "./fleet_table.js";
import { clock } from "./format.js";
import { live } from "./live.js";
import { OperationView } from "./operation.js";
import { operationText, operationTitle, operationWord } from "./operation_words.js";
import { retryButton, stateCard } from "./states.js";
import { STAGES } from "./words.js";

const LOOK_EVERY = 20000;
const LOOK_OFTEN = 3000; // while one of them runs
const PAGE = 100;

export function show() {
  const root = document.getElementById("operations");
  if (!root || root.view) return;
  root.view = root.dataset.operation ? new OperationView(root) : new OperationsView(root);
}

class OperationsView {
  constructor(root) {
    this.root = root;
    this.body = root.querySelector("#operations-body");
    this.wanted = PAGE;
    this.rows = new Map();
    this.look();
  }

  async look() {
    clearTimeout(this.timer);
    const answer = document.hidden && this.list ? null : await get(`/api/operations?limit=${this.wanted}`);
    if (!this.root.isConnected) return;
    if (answer?.ok) this.take(answer.data);
    else if (answer && !this.list) this.showError(answer.message);
    this.timer = setTimeout(() => this.look(), this.isBusy ? LOOK_OFTEN : LOOK_EVERY);
  }

  showError(text) {
    const action = retryButton(() => this.look());
    const title = "Operations cannot be shown now";
    this.body.replaceChildren(stateCard({ tone: "bad", iconName: "unplug", title, text, action }));
  }

  take({ operations, total }) {
    this.isBusy = operations.some(({ state }) => state === "running");
    this.root.dataset.ready = "true";
    if (!operations.length) {
      const text = "What is ordered of VMs, here, by the command line or by the API, is listed here, with what became of it.";
      this.body.replaceChildren(stateCard({ iconName: "list-checks", title: "Nothing was ordered yet", text }));
      this.list = null;
      return;
    }
    if (!this.list) this.build();
    const rows = operations.map((operation) => this.row(operation));
    if (rows.some((row, index) => this.list.children[index] !== row) || this.list.children.length !== rows.length) {
      this.list.replaceChildren(...rows);
    }
    this.more.hidden = total <= operations.length;
  }

  build() {
    const titles = [["what", "Operation"], ["state", "State"], ["who", "By"], ["when", "Begun"], ["why", "Why"]];
    const head = titles.map(([name, title]) => h("div", { class: `cell cell-${name}`, role: "columnheader" }, title));
    this.list = h("div", { role: "rowgroup" });
    this.more = h("button", { class: "button more", type: "button" }, "Show more");
    this.more.addEventListener("click", () => {
      this.wanted += PAGE;
      this.look();
    });
    const table = h("div", { class: "operations card", role: "table", "aria-label": "Operations" }, h("div", { class: "operation-row operations-head", role: "row" }, ...head), this.list);
    this.body.replaceChildren(table, this.more);
  }

  row(operation) {
    let row = this.rows.get(operation.id);
    if (!row) this.rows.set(operation.id, (row = buildRow(operation)));
    const [tone, iconName] = STAGES[operation.state];
    const { mark, word, bar, why } = row.cells;
    row.dataset.tone = tone;
    mark.className = `icon icon-${iconName}`;
    setText(word, operationWord(operation));
    setMeter(bar, operation.state === "running" ? operation.ended / operation.total : null);
    setText(why, operationText(operation));
    why.title = operationText(operation);
    return row;
  }
}

function buildRow(operation) {
  const href = `/operations/${encodeURIComponent(operation.id)}`;
  const cells = { mark: icon("clock"), word: h("span"), bar: meter(), why: h("span") };
  const begun = new Date(operation.created);
  const row = h(
    "div",
    { class: "operation-row", role: "row", "data-operation": operation.id },
    h("div", { class: "cell cell-what", role: "cell" }, h("a", { class: "machine-link", href }, operationTitle(operation))),
    h("div", { class: "cell cell-state", role: "cell" }, h("span", { class: "status" }, cells.mark, cells.word), cells.bar),
    h("div", { class: "cell cell-who", role: "cell" }, h("bdi", {}, operation.issuer)),
    h("div", { class: "cell cell-when number", role: "cell", title: begun.toLocaleString() }, clock(begun.getTime(), live.now())),
    h("div", { class: "cell cell-why", role: "cell" }, cells.why),
  );
  row.cells = cells;
  row.addEventListener("click", (event) => {
    if (!event.target.closest("a") && !getSelection().toString()) visit(href);
  });
  return row;
}
