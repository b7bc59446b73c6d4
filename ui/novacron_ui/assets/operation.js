// One operation: who asked for what and why, how far it is, and what became of each VM.

import { get, post } from "./api.js";
import { h, icon, setText } from "./elements.js";
import { meter, setMeter } from "./fleet_table.js";
import { Follow } from "./follow.js";
import { live } from "./live.js";
import { operationTitle, operationWord } from "./operation_words.js";
import { stateCard } from "./states.js";
import { whenKnown } from "./visitor.js";
import { argumentsText, COMMAND_STATES, commandText, length, STAGES, verbWords } from "./words.js";

const PAGE = 100;
const GROUPS = {
  all: ["All", Object.keys(COMMAND_STATES)],
  open: ["Under way", ["queued", "delivered", "accepted", "running"]],
  succeeded: ["Done", ["succeeded"]],
  failed: ["Failed", ["failed"]],
  rejected: ["Rejected", ["rejected"]],
  expired: ["Expired", ["expired"]],
  cancelled: ["Cancelled", ["cancelled"]],
  outcome_unknown: ["Outcome unknown", ["outcome_unknown"]],
};

export class OperationView {
  constructor(root) {
    Object.assign(this, { root, id: root.dataset.operation, group: "all", wanted: PAGE, rows: new Map() });
    this.body = root.querySelector("#operations-body");
    this.follow = new Follow(this.id, (operation) => this.take(operation), (message) => this.trouble(message));
    this.forget = whenKnown(({ verbs }) => {
      this.mayCancel = verbs.length > 0;
      this.showCancel();
    });
    this.clock = setInterval(() => this.onClock(), 1000);
  }

  onClock() {
    if (!this.root.isConnected) {
      clearInterval(this.clock);
      this.follow.stop();
      this.forget();
    } else this.showTime();
  }

  trouble(message) {
    if (this.head) setText(this.error, message);
    else if (message) this.body.replaceChildren(stateCard({ iconName: "search", title: "This operation cannot be shown", text: message }));
  }

  async take(operation) {
    this.operation = operation;
    if (!this.head) this.build();
    this.root.dataset.ready = "true";
    const [tone, iconName] = STAGES[operation.state];
    this.head.dataset.tone = tone;
    this.mark.className = `icon icon-${iconName}`;
    setText(this.word, operationWord(operation));
    setMeter(this.bar, operation.state === "running" ? operation.ended / operation.total : null);
    setText(this.problem, operation.problem);
    this.showCancel();
    this.showTime();
    this.showGroups();
    return this.look();
  }

  build() {
    const { operation } = this;
    const title = operationTitle(operation);
    document.title = `${title} · NovaCron`;
    const crumbs = h("nav", { class: "crumbs" }, h("a", { href: "/operations" }, "Operations"), icon("chevron-right"), h("span", {}, title));
    this.root.querySelector(".page-head").before(crumbs);
    setText(this.root.querySelector(".page-title"), title);
    Object.assign(this, { mark: icon("clock"), word: h("strong"), time: h("span", { class: "number" }), bar: meter(), problem: h("p", { class: "operation-problem" }), error: h("p", { class: "dialog-error", role: "alert" }) });
    this.cancel = h("button", { class: "button button-small", type: "button", onclick: () => this.stop() }, "Cancel");
    this.head = h("section", { class: "operation card", "aria-label": "State" }, h("p", { class: "operation-state", role: "status" }, this.mark, this.word, this.time, this.cancel), this.problem, facts(operation), this.error, this.bar);
    this.chips = h("div", { class: "segments", role: "group", "aria-label": "State" });
    this.list = h("div", { role: "rowgroup" });
    this.more = h("button", { class: "button more", type: "button", onclick: () => this.showMore() }, "Show more");
    const table = h("div", { class: "results card", role: "table", "aria-label": "VMs" }, this.list);
    this.body.replaceChildren(this.head, h("div", { class: "toolbar results-toolbar" }, this.chips), table, this.more);
  }

  showCancel() {
    if (this.cancel) this.cancel.hidden = !this.mayCancel || this.operation.state !== "running";
  }

  showTime() {
    const { operation } = this;
    if (!operation) return;
    const end = operation.finished ? Date.parse(operation.finished) : live.now();
    setText(this.time, length(end - Date.parse(operation.created)));
  }

  showGroups() {
    const { commands } = this.operation;
    const chips = Object.entries(GROUPS).map(([name, [title, states]]) => {
      const number = states.reduce((sum, state) => sum + (commands[state] || 0), 0);
      if (!number && name !== "all" && name !== this.group) return null;
      const count = h("span", { class: "count" }, number.toLocaleString("en"));
      const about = { type: "button", class: "segment", "aria-pressed": String(name === this.group), onclick: () => this.choose(name) };
      return h("button", about, title, count);
    });
    this.chips.replaceChildren(...chips.filter(Boolean));
  }

  choose(group) {
    Object.assign(this, { group, wanted: PAGE });
    this.showGroups();
    this.look();
  }

  showMore() {
    this.wanted += PAGE;
    this.look();
  }

  async look() {
    const asked = `${this.group} ${this.wanted}`;
    const [, states] = GROUPS[this.group];
    const filters = this.group === "all" ? [""] : states.map((state) => `&state=${state}`);
    const ask = (filter) => get(`/api/commands?operation=${this.id}&limit=${this.wanted}${filter}`);
    const answers = await Promise.all(filters.map(ask));
    if (answers.some(({ ok }) => !ok)) return false;
    if (asked !== `${this.group} ${this.wanted}`) return true;
    const commands = answers.flatMap(({ data }) => data.commands);
    const total = answers.reduce((sum, { data }) => sum + data.total, 0);
    const rows = commands.map((command) => this.row(command));
    const { children } = this.list;
    const isSame = rows.length === children.length && rows.every((row, index) => row === children[index]);
    if (!isSame) this.list.replaceChildren(...rows); // else who stands on one of them stays there
    this.more.hidden = total <= commands.length;
    return true;
  }

  row(command) {
    let row = this.rows.get(command.id);
    if (!row) this.rows.set(command.id, (row = buildRow(command, this.operation.steps.length > 1)));
    const [tone, iconName, word] = COMMAND_STATES[command.state];
    const { mark, state, text, bar, time } = row.cells;
    row.dataset.tone = tone;
    mark.className = `icon icon-${iconName}`;
    const share = command.state === "running" && command.share !== null ? ` ${Math.round(command.share * 100)} %` : "";
    setText(state, `${word}${share}`);
    setText(text, commandText(command));
    text.title = commandText(command);
    setMeter(bar, command.state === "running" ? command.share : null);
    setText(time, command.begun && command.ended ? length(Date.parse(command.ended) - Date.parse(command.begun)) : "");
    return row;
  }

  async stop() {
    this.cancel.disabled = true;
    const answer = await post(`/api/operations/${this.id}/cancel`);
    this.cancel.disabled = false;
    setText(this.error, answer.ok ? "" : answer.message);
  }
}

function facts({ issuer, source, created, reason, steps, expect }) {
  const pairs = [
    ["By", h("bdi", {}, issuer)],
    ["From", source],
    ["Begun", new Date(created).toLocaleString()],
    ["Why", reason],
    ["How", steps.map((step) => argumentsText(step.arguments)).filter(Boolean).join("; ")],
    ["Only if", (expect || []).join(" or ")],
  ];
  const shown = pairs.filter(([, value]) => value);
  return h("dl", { class: "operation-facts" }, ...shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function buildRow(command, hasSteps) {
  const cells = { mark: icon("clock"), state: h("span"), text: h("span"), bar: meter(), time: h("span", { class: "number" }) };
  const { vm, verb, step, undoes } = command;
  const link = h("a", { class: "machine-link", href: `/machine/${encodeURIComponent(vm.id)}` }, h("bdi", {}, vm.name || vm.id));
  const note = hasSteps ? h("span", { class: "machine-note" }, `${step + 1}. ${verbWords(verb).title}${undoes ? ", undone" : ""}`) : null;
  const row = h(
    "div",
    { class: "result-row", role: "row" },
    h("div", { class: "cell cell-what", role: "cell" }, icon("monitor"), link, note),
    h("div", { class: "cell cell-state", role: "cell" }, h("span", { class: "status" }, cells.mark, cells.state), cells.bar),
    h("div", { class: "cell cell-why", role: "cell" }, cells.text),
    h("div", { class: "cell cell-when", role: "cell" }, cells.time),
  );
  row.cells = cells;
  return row;
}
