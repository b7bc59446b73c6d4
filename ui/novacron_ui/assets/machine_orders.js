// Machine's buttons, and what goes on with orders for this VM: begun here, elsewhere, or before.

import { get } from "./api.js";
import { h, icon, setText } from "./elements.js";
import { Follow } from "./follow.js";
import { live } from "./live.js";
import { UNKNOWN } from "./machines.js";
import { hasOpenMenu, menuButton, menuItem } from "./menu.js";
import { isAtOnce, openOrder, order } from "./order_dialog.js";
import { OrderLine } from "./order_line.js";
import { whenKnown } from "./visitor.js";
import { commandText, FINAL, verbWords } from "./words.js";

const LOOK_EVERY = 20000; // for orders of others
const SHOWN_AFTER = 120000; // so long after its end an order is shown to who opens the page
const NEWEST = 5;
const BUTTONS = 3;
const narrow = matchMedia("(max-width: 760px)");

export class MachineOrders {
  constructor(root, vm, may) {
    Object.assign(this, { vm, may, verbs: [], state: "" });
    this.actions = root.querySelector("#machine-actions");
    this.list = root.querySelector("#machine-orders");
    this.lines = new Map(); // operation -> {line, follow}
    this.putAway = new Set();
    this.forget = whenKnown(({ verbs }) => {
      this.verbs = verbs.filter((spec) => may.includes(spec.permission));
      this.showButtons();
    });
    this.onNarrow = () => this.showButtons();
    narrow.addEventListener("change", this.onNarrow);
    this.timer = setInterval(() => document.hidden || this.look(), LOOK_EVERY);
    this.look();
  }

  destroy() {
    this.forget();
    narrow.removeEventListener("change", this.onNarrow);
    clearInterval(this.timer);
    for (const { follow } of this.lines.values()) follow.stop();
  }

  tick() {
    this.showButtons();
    for (const { line } of this.lines.values()) line.tick();
  }

  // The state of the VM as it is known now.
  setState(state) {
    if (state === this.state) return;
    const isFirst = !this.state;
    this.state = state;
    this.showButtons();
    if (!isFirst) this.look();
  }

  showButtons() {
    if (!this.verbs.length || !this.state) {
      this.actions.replaceChildren();
      this.shownButtons = "";
      return;
    }
    const busy = this.busyWith();
    const sensible = this.verbs.filter((spec) => spec.sensible_in.includes(this.state));
    const first = busy ? [] : sensible.filter((spec) => !spec.destructive).slice(0, narrow.matches ? 1 : BUTTONS);
    const shown = [this.state, narrow.matches, busy?.text, ...this.verbs.map((spec) => spec.verb)].join();
    if (shown === this.shownButtons || hasOpenMenu(this.actions)) return;
    this.shownButtons = shown;
    const others = this.verbs.filter((spec) => !first.includes(spec));
    this.actions.replaceChildren(
      ...(busy ? [chip(busy.text)] : first.map((spec) => this.button(spec))),
      ...(others.length ? [this.menu(others)] : []),
    );
  }

  busyWith() {
    return [...this.lines.values()].find(({ open }) => open)?.open;
  }

  button(spec) {
    const { title, icon: iconName } = verbWords(spec.verb);
    const about = { class: "button button-small", type: "button", title: spec.summary, "data-verb": spec.verb };
    const button = h("button", about, icon(iconName), title);
    button.addEventListener("click", () => this.choose(spec, button));
    return button;
  }

  menu(specs) {
    const button = h("button", { class: "icon-button", type: "button", "aria-label": "More actions", title: "More actions" }, icon("ellipsis"));
    const item = (spec) => {
      const { title, icon: iconName } = verbWords(spec.verb);
      const isSensible = UNKNOWN.has(this.state) || spec.sensible_in.includes(this.state);
      const note = isSensible ? spec.summary : `usual when ${spec.sensible_in.join(" or ")}`;
      return menuItem(iconName, title, () => this.choose(spec), { note, tone: spec.destructive ? "bad" : "" });
    };
    return menuButton(button, () => specs.map(item));
  }

  async choose(spec, button) {
    if (!isAtOnce(spec)) {
      openOrder(spec, this.vm, (operation) => this.follow(operation.id));
      return;
    }
    if (button) button.disabled = true;
    const answer = await order(spec, this.vm, {});
    if (button) button.disabled = false;
    if (answer.ok) this.follow(answer.data.id);
    else this.refused(spec, answer.message);
  }

  refused(spec, message) {
    const text = h("p", {}, h("strong", {}, `${verbWords(spec.verb).title} was not ordered. `), message);
    const shut = h("button", { class: "icon-button", type: "button", "aria-label": "Put away", onclick: () => notice.remove() }, icon("x"));
    const notice = h("div", { class: "notice", "data-severity": "critical", role: "alert" }, icon("circle-x"), text, shut);
    this.list.prepend(notice);
  }

  // Orders that are open, whoever gave them, and the newest that has just ended.
  async look() {
    const answer = await get(`/api/commands?vm=${encodeURIComponent(this.vm.id)}&limit=${NEWEST}`).catch(() => null);
    if (!answer?.ok) return;
    answer.data.commands.forEach((command, index) => {
      const isFresh = index === 0 && live.now() - Date.parse(command.ended) < SHOWN_AFTER;
      if (!FINAL.has(command.state) || isFresh) this.follow(command.operation);
    });
  }

  follow(operation) {
    if (this.lines.has(operation) || this.putAway.has(operation)) return;
    for (const [id, { open }] of this.lines) if (!open) this.close(id);
    const mayCancel = this.verbs.length > 0;
    const line = new OrderLine({ operation, mayCancel, onClose: () => this.close(operation) });
    const entry = { line, open: { text: "Ordered" } };
    entry.follow = new Follow(operation, (now) => this.show(entry, now), (message) => line.trouble(message));
    this.lines.set(operation, entry);
    this.showButtons();
  }

  close(operation) {
    this.putAway.add(operation);
    const entry = this.lines.get(operation);
    entry.follow.stop();
    entry.line.root.remove();
    this.lines.delete(operation);
    this.showButtons();
  }

  async show(entry, operation) {
    const query = `operation=${operation.id}&vm=${encodeURIComponent(this.vm.id)}&limit=40`;
    const answer = await get(`/api/commands?${query}`);
    const command = answer.ok && current(answer.data.commands);
    if (!command) return answer.ok;
    const { title, doing, done } = verbWords(command.verb);
    const isOver = FINAL.has(command.state) && operation.state !== "running";
    const isDone = command.state === "succeeded";
    const isRunning = command.state === "running";
    const share = command.share === null ? "" : ` ${Math.round(command.share * 100)} %`;
    entry.open = isOver ? null : { text: isRunning ? `${doing}${share}` : `${title}: ${command.state}` };
    entry.line.show({
      title: isRunning ? doing : isDone ? done : title,
      word: isRunning || isDone ? "" : undefined,
      state: command.state,
      text: [commandText(command), by(operation)].filter(Boolean).join(" · "),
      share: command.share,
      isOver,
      begun: Date.parse(command.created),
      ended: command.ended ? Date.parse(command.ended) : null,
    });
    if (!entry.line.root.isConnected && this.lines.has(operation.id)) this.list.prepend(entry.line.root);
    this.showButtons();
    return true;
  }
}

// Of several steps the one that goes on, or the last.
function current(commands) {
  return commands.find((command) => !FINAL.has(command.state) && command.state !== "queued") || commands.find((command) => !FINAL.has(command.state)) || commands[0];
}

function by({ issuer, reason }) {
  return `by ${issuer}${reason ? `: ${reason}` : ""}`;
}

function chip(text) {
  const words = h("span");
  setText(words, text);
  return h("span", { class: "busy-chip" }, icon("loader-circle"), words);
}
