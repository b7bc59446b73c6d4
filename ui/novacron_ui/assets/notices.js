// What the operator should know and do: a clock that is off, a disk that fills up.

import { h, icon } from "./elements.js";

const ICONS = { critical: "circle-x", warning: "triangle-alert", info: "info" };

export function show(notices) {
  const list = document.getElementById("notices");
  if (!list || !notices) return;
  list.replaceChildren(...notices.map(notice));
}

// A sentence that says what to do after a colon; the first half stands out.
function notice({ severity, message }) {
  const [, fact, advice] = message.match(/^([^:]*)(.*)$/s);
  const text = h("p", {}, h("strong", {}, fact), advice);
  return h("div", { class: "notice", "data-severity": severity }, icon(ICONS[severity]), text);
}
