// What a page shows instead of data.

import { h, icon } from "./elements.js";

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
