// What a page shows instead of data, and how it asks the server again.

import { h, icon } from "./elements.js";

const FIRST_RETRY = 2000;
const LONGEST_RETRY = 30000;
const ANSWER_WITHIN = 20000;

export function stateCard({ tone = "", iconName, title, text, code, action }) {
  return h(
    "div",
    { class: "state", "data-tone": tone, role: tone === "bad" ? "alert" : "status" },
    h("div", { class: "state-icon" }, icon(iconName)),
    h("div", { class: "state-title" }, title),
    h("div", { class: "state-text" }, text, code ? h("code", {}, code) : null),
    action || null,
  );
}

export function retryButton(retry) {
  return h("button", { class: "button", type: "button", onclick: retry }, icon("refresh-cw"), "Try again");
}

// Asks for a Dash store's data by changing the store its callback listens to: at intervals, and
// sooner, with growing delays, after a failure.
export class Asking {
  constructor(id, { every, onSilence, question = Date.now }) {
    Object.assign(this, { id, every, onSilence, question });
    this.failures = 0;
    this.plan(every);
  }

  answered(failed) {
    clearTimeout(this.deadline);
    this.failures = failed ? this.failures + 1 : 0;
    this.plan(failed ? Math.min(FIRST_RETRY * 2 ** (this.failures - 1), LONGEST_RETRY) : this.every);
  }

  now() {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => {
      this.onSilence?.();
      this.answered(true);
    }, ANSWER_WITHIN);
    window.dash_clientside.set_props(this.id, { data: this.question() });
  }

  plan(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => (document.hidden ? this.plan(this.every) : this.now()), delay);
  }

  stop() {
    clearTimeout(this.timer);
    clearTimeout(this.deadline);
  }
}
