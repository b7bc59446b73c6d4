// A button with a menu, for mouse and keyboard.

import { h, icon } from "./elements.js";

// `build()` gives the menu's children each time it opens.
export function menuButton(button, build) {
  const list = h("div", { class: "menu", role: "menu", hidden: true });
  const place = h("span", { class: "menu-place" }, button, list);
  const items = () => [...list.querySelectorAll("[role=menuitem]")];
  button.setAttribute("aria-haspopup", "menu");
  button.setAttribute("aria-expanded", "false");

  function open(at) {
    list.replaceChildren(...build());
    list.hidden = false;
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside);
    items().at(at)?.focus();
  }

  function close(hasFocus = true) {
    if (list.hidden) return;
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside);
    if (hasFocus) button.focus();
  }

  function outside(event) {
    if (!place.contains(event.target)) close(false);
  }

  function move(by) {
    const all = items();
    all.at((all.indexOf(document.activeElement) + by) % all.length)?.focus();
  }

  const keys = { ArrowDown: () => move(1), ArrowUp: () => move(-1), Home: () => items()[0]?.focus(), End: () => items().at(-1)?.focus(), Escape: close, Tab: () => close(false) };
  button.addEventListener("click", () => (list.hidden ? open(0) : close()));
  button.addEventListener("keydown", (event) => {
    if (!list.hidden || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
    event.preventDefault();
    open(event.key === "ArrowDown" ? 0 : -1);
  });
  list.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    if (event.key !== "Tab") event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  list.addEventListener("click", (event) => event.target.closest("[role=menuitem]") && close());
  return place;
}

// What is in an open menu is not to vanish under the hand.
export function hasOpenMenu(element) {
  return Boolean(element?.querySelector("[aria-haspopup=menu][aria-expanded=true]"));
}

export function menuItem(iconName, title, onclick, { note = "", tone = "" } = {}) {
  const text = h("span", {}, title, note ? h("small", {}, note) : null);
  const about = { class: "menu-item", type: "button", role: "menuitem", tabindex: "-1", "data-tone": tone, onclick };
  return h("button", about, icon(iconName), text);
}
