// A dialog over the page: the rest waits, Escape leaves it.

import { h, icon } from "./elements.js";

let count = 0;

// {root, close}; it is gone from the page when it is closed.
export function openDialog({ title, body, foot, tone = "", onClose = () => {} }) {
  const id = `dialog-${++count}`;
  const close = () => root.close();
  const shut = h("button", { type: "button", class: "icon-button", "aria-label": "Close", onclick: close }, icon("x"));
  const head = h("div", { class: "dialog-head" }, h("h2", { id, class: "dialog-title" }, title), shut);
  const root = h("dialog", { class: "dialog", "aria-labelledby": id, "data-tone": tone }, head, body, foot);
  root.addEventListener("close", () => {
    root.remove();
    onClose();
  });
  document.body.append(root);
  root.showModal();
  return { root, close };
}

export function errorLine() {
  return h("p", { class: "dialog-error", role: "alert" });
}
