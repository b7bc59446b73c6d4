// The line that tells how an order goes on and how it ended.

import { post, sentence } from "./api.js";
import { h, icon, setText } from "./elements.js";
import { meter, setMeter } from "./fleet_table.js";
import { live } from "./live.js";
import { COMMAND_STATES, length } from "./words.js";

export class OrderLine {
  // `mayCancel`: whether to offer it; `onClose`: it may be put away when it has ended.
  constructor({ operation, mayCancel, onClose }) {
    Object.assign(this, { operation });
    this.mark = icon("clock");
    this.title = h("strong");
    this.state = h("span", { class: "order-state" });
    this.text = h("span", { class: "order-text" });
    this.time = h("span", { class: "order-time number" });
    this.meter = meter();
    const details = h("a", { class: "link", href: `/operations/${operation}` }, "Details");
    this.cancel = h("button", { class: "button button-small", type: "button", onclick: () => this.stop() }, "Cancel");
    this.shut = h("button", { class: "icon-button", type: "button", "aria-label": "Put away", onclick: onClose }, icon("x"));
    this.cancel.hidden = !mayCancel;
    const words = h("p", { class: "order-words" }, this.title, " ", this.state, this.text);
    this.root = h("div", { class: "order card", "data-operation": operation }, this.mark, words, this.time, details, this.cancel, this.shut, this.meter);
    this.said = h("span", { class: "unseen", role: "status" });
    this.root.append(this.said);
  }

  // {title, state, word, text, share, isOver, begun, ended}
  show(now) {
    const [tone, iconName, title] = COMMAND_STATES[now.state] || COMMAND_STATES.queued;
    const word = now.word ?? title.toLowerCase();
    this.root.dataset.tone = tone;
    this.mark.className = `icon icon-${iconName}`;
    setText(this.title, now.title);
    setText(this.state, word);
    setText(this.text, now.text ? ` · ${now.text}` : "");
    this.text.title = now.text;
    setMeter(this.meter, now.isOver ? null : now.share);
    this.root.toggleAttribute("data-waits", !now.isOver && now.share === null);
    this.cancel.hidden ||= now.isOver;
    this.shut.hidden = !now.isOver;
    Object.assign(this, { begun: now.begun, ended: now.ended });
    this.tick();
    // A person who does not see it is told the states, not each percent of them.
    const said = [now.title, word].filter(Boolean).join(" ");
    setText(this.said, sentence(`${said}${now.isOver && now.text ? `, ${now.text}` : ""}`));
  }

  tick() {
    if (this.begun) setText(this.time, length((this.ended ?? live.now()) - this.begun));
  }

  trouble(message) {
    if (message) setText(this.text, ` · ${message}`);
  }

  async stop() {
    this.cancel.disabled = true;
    const answer = await post(`/api/operations/${this.operation}/cancel`);
    this.cancel.disabled = false;
    if (!answer.ok) this.trouble(answer.message);
  }
}
