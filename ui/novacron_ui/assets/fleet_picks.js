// The checkboxes of Fleet's rows.

import { h } from "./elements.js";

export function pickBox(label) {
  const box = h("input", { type: "checkbox", class: "pick", "aria-label": label });
  setPick(box, "none");
  return box;
}

export function setPick(box, state) {
  box.hidden = state === null;
  box.checked = state === "all";
  box.indeterminate = state === "some";
}

export function labelPick(box, text) {
  if (box.getAttribute("aria-label") !== text) box.setAttribute("aria-label", text);
}
