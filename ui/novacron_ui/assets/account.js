// Who is logged in: in the header, with a menu.

import { logOut } from "./api.js";
import { h, icon } from "./elements.js";
import { menuButton, menuItem } from "./menu.js";

let shown = "";

// `visitor`: {name, logged_in, grants, permissions}
export function showAccount(visitor) {
  const place = document.getElementById("account");
  const text = JSON.stringify(visitor);
  if (!place || (text === shown && place.firstChild)) return;
  shown = text;
  place.replaceChildren(visitor.logged_in ? accountMenu(visitor) : loginLink());
}

function loginLink() {
  const link = h("a", { class: "button button-small", href: "/login", target: "_self" }, "Log in");
  link.addEventListener("click", () => {
    link.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
  });
  return link;
}

function accountMenu({ name, grants }) {
  const button = h(
    "button",
    { type: "button", class: "account-button", title: `Logged in as ${name}` },
    icon("user"),
    h("span", { class: "account-name" }, name),
    h("span", { class: "account-role" }, role(grants)),
    icon("chevron-down"),
  );
  return menuButton(button, () => [
    h("div", { class: "menu-head", role: "none" }, h("strong", {}, name), ...lines(grants)),
    menuItem("log-out", "Log out", leave),
  ]);
}

const RANKS = ["viewer", "operator", "vm-admin", "admin"];

function role(grants) {
  return RANKS[Math.max(...grants.map((grant) => RANKS.indexOf(grant.role)))] || "no role";
}

function lines(grants) {
  if (!grants.length) return [h("span", {}, "no role")];
  return grants.map(({ role: is, scope }) => h("span", {}, `${is} of ${scope === "fleet" ? "the fleet" : scope}`));
}

async function leave() {
  await logOut();
  location.assign(location.pathname + location.search);
}
