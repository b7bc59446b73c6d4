// The frame: theme, navigation, keyboard, connection pill, hosts in the navigation.

import { showAccount } from "./account.js";
import { h, icon, setText, visit } from "./elements.js";
import { live } from "./live.js";
import { learn } from "./visitor.js";

const PILL = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
};
const NAV_HOSTS = 40;
const root = document.documentElement;

const actions = {
  theme: () => window.novacronChoices.toggleTheme(),
  nav: toggleNavigation,
  copy: copyText,
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button && actions[button.dataset.action]) actions[button.dataset.action](button);
  const link = event.target.closest("a[href^='/']");
  const plain = !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button);
  if (link && plain && !event.defaultPrevented && !link.target) {
    event.preventDefault();
    visit(link.getAttribute("href"));
  }
  if (root.dataset.drawer && !event.target.closest("[data-action='nav']")) {
    delete root.dataset.drawer;
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape") delete root.dataset.drawer;
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey) return;
  const search = document.querySelector("input[type=search]");
  if (search) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

window.addEventListener("popstate", () => queueMicrotask(markCurrent));
window.addEventListener("_dashprivate_pushstate", () => queueMicrotask(markCurrent));

live.onStatus(() => queueMicrotask(showStatus));
setInterval(showStatus, 1000); // the pill may be mounted after the status came
live.start();

function showStatus() {
  const pill = document.getElementById("live-pill");
  if (!pill) return;
  pill.dataset.status = live.status;
  setText(pill, PILL[live.status]);
}

function toggleNavigation() {
  if (matchMedia("(max-width: 760px)").matches) {
    if (root.dataset.drawer) delete root.dataset.drawer;
    else root.dataset.drawer = "open";
    return;
  }
  window.novacronChoices.toggleNavigation();
  window.dispatchEvent(new Event("resize"));
}

async function copyText(button) {
  await navigator.clipboard.writeText(button.dataset.text);
  const mark = button.querySelector(".icon");
  button.dataset.done = "true";
  mark.className = "icon icon-check";
  setTimeout(() => {
    delete button.dataset.done;
    mark.className = "icon icon-copy";
  }, 1500);
}

export function showPage({ title, hosts, visitor, verbs }) {
  if (title) document.title = title;
  showAccount(visitor);
  learn(visitor, verbs);
  const list = document.getElementById("nav-hosts");
  const links = hosts.slice(0, NAV_HOSTS).map(({ id, name }) =>
    h(
      "a",
      { class: "nav-link", href: `/machine/${encodeURIComponent(id)}`, title: name },
      icon("server"),
      h("span", {}, name),
    ),
  );
  const head = links.length ? [h("div", { class: "nav-title" }, "Hosts")] : [];
  list.replaceChildren(...head, ...links);
  markCurrent();
}

function markCurrent() {
  for (const link of document.querySelectorAll(".nav-link")) {
    const href = link.getAttribute("href");
    const isWithin = href !== "/" && location.pathname.startsWith(`${href}/`);
    if (href === location.pathname || isWithin) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
