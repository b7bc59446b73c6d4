// The range of time a page shows: chosen in the toolbar, kept in the URL.

import { h, icon, remembered } from "./elements.js";

const SPANS = { "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800, "30d": 2592000 };
const DEFAULT = "1h";
const SHORTEST = 60;

export class Ranges {
  constructor(root, onChange) {
    this.onChange = onChange;
    this.read();
    this.buttons = Object.keys(SPANS).map((name) => {
      const choose = () => this.choose({ name, start: null, end: null });
      return h("button", { type: "button", class: "segment", "data-range": name, onclick: choose }, name);
    });
    this.from = this.field("From");
    this.to = this.field("To");
    root.replaceChildren(
      h("div", { class: "segments", role: "group", "aria-label": "Range" }, ...this.buttons),
      h("div", { class: "custom-range" }, this.from, icon("chevron-right"), this.to),
    );
    this.mark();
  }

  get isNow() {
    return this.start === null;
  }

  // In seconds.
  window(now) {
    if (this.isNow) return { start: now - SPANS[this.name], end: now };
    return { start: this.start, end: this.end };
  }

  // As the server reads it (query/machine.py).
  question(points) {
    if (this.isNow) return { span: SPANS[this.name], points };
    return { start: this.start * 1000, end: this.end * 1000, points };
  }

  choose({ name = DEFAULT, start, end }) {
    Object.assign(this, { name, start, end });
    const url = new URL(location.href);
    for (const key of ["range", "from", "to"]) url.searchParams.delete(key);
    if (start !== null) {
      url.searchParams.set("from", new Date(start * 1000).toISOString());
      url.searchParams.set("to", new Date(end * 1000).toISOString());
    } else if (name !== DEFAULT) url.searchParams.set("range", name);
    history.replaceState(history.state, "", url);
    this.mark();
    this.onChange();
  }

  read() {
    const name = remembered("range", DEFAULT);
    this.name = SPANS[name] ? name : DEFAULT;
    const start = Math.round(Date.parse(remembered("from")) / 1000);
    const end = Math.round(Date.parse(remembered("to")) / 1000);
    const isCustom = end - start >= SHORTEST;
    this.start = isCustom ? start : null;
    this.end = isCustom ? end : null;
  }

  field(label) {
    return h("input", {
      type: "datetime-local",
      class: "time-input",
      "aria-label": label,
      title: label,
      onchange: () => this.chooseFields(),
    });
  }

  chooseFields() {
    const start = Math.round(new Date(this.from.value).getTime() / 1000);
    const end = Math.round(new Date(this.to.value).getTime() / 1000);
    const isRange = end - start >= SHORTEST;
    for (const field of [this.from, this.to]) {
      field.setCustomValidity(isRange ? "" : "The end has to be at least a minute after the start");
    }
    if (isRange) this.choose({ start, end });
    else this.to.reportValidity();
  }

  mark() {
    for (const button of this.buttons) {
      button.setAttribute("aria-pressed", this.isNow && button.dataset.range === this.name);
    }
    const { start, end } = this.window(Date.now() / 1000);
    this.from.value = local(start);
    this.to.value = local(end);
    this.from.parentNode.classList.toggle("is-custom", !this.isNow);
  }
}

function local(seconds) {
  const moment = new Date(seconds * 1000);
  return new Date(moment - moment.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
