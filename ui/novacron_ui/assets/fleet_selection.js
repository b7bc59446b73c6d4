// Fleet's selection: which VMs, and the bar that says what can be done with them.

import { h, icon } from "./elements.js";
import { live } from "./live.js";
import { stateOf, UNKNOWN } from "./machines.js";
import { hasOpenMenu, menuButton, menuItem } from "./menu.js";
import { mayReach, whenKnown } from "./visitor.js";
import { verbWords, vms } from "./words.js";

const narrow = matchMedia("(max-width: 760px)");

export class Selection {
  // `onChange()`: rows are to be drawn again; `onBegun(operation)`: something was ordered.
  constructor(place, { machines, onChange, onBegun }) {
    Object.assign(this, { place, machines, onChange, onBegun });
    this.picked = new Set();
    this.matching = [];
    this.verbs = [];
    this.forget = whenKnown(({ visitor, verbs }) => {
      Object.assign(this, { visitor, verbs });
      this.show();
    });
    this.onNarrow = () => this.show();
    narrow.addEventListener("change", this.onNarrow);
  }

  destroy() {
    this.forget();
    narrow.removeEventListener("change", this.onNarrow);
  }

  get isOffered() {
    return this.verbs.length > 0;
  }

  mayPick(machine) {
    return machine.kind === "vm" && this.verbs.some((spec) => mayReach(this.visitor, spec.permission, machine));
  }

  // The VMs that a row stands for, of those that match.
  of(machine) {
    if (machine.kind === "vm") return this.mayPick(machine) ? [machine] : [];
    return this.matching.filter((vm) => vm.host === machine.id);
  }

  // null: there is nothing to pick; else whether none, some or all of a row are.
  stateOf(machine) {
    const own = this.of(machine);
    if (!own.length) return null;
    const number = own.filter((vm) => this.picked.has(vm.id)).length;
    return number === 0 ? "none" : number === own.length ? "all" : "some";
  }

  // Those that match search and filter now; what is picked and gone is not picked any more.
  setMatching(found) {
    this.matching = found.filter((machine) => this.mayPick(machine));
    for (const id of this.picked) if (!this.machines.all.has(id)) this.picked.delete(id);
    this.show();
  }

  toggle(machine, isOn) {
    this.pick(this.of(machine), isOn);
  }

  pickAll(isOn) {
    this.pick(this.matching, isOn);
  }

  pick(machines, isOn) {
    for (const { id } of machines) {
      if (isOn) this.picked.add(id);
      else this.picked.delete(id);
    }
    this.show();
    this.onChange();
  }

  clear() {
    this.picked.clear();
    this.show();
    this.onChange();
  }

  chosen() {
    return [...this.picked].map((id) => this.machines.all.get(id)).filter(Boolean);
  }

  show() {
    if (!this.isOffered || !this.picked.size) {
      this.bar?.remove();
      this.bar = null;
      return;
    }
    const chosen = this.chosen();
    const now = live.now();
    const fits = (spec, state) => UNKNOWN.has(state) || spec.sensible_in.includes(state);
    const fitting = (spec) => chosen.filter((vm) => fits(spec, stateOf(vm, now))).length;
    const offered = this.verbs.filter((spec) => !spec.alone || chosen.length === 1);
    const counts = offered.map((spec) => [spec, fitting(spec)]);
    const hidden = this.matching.filter((vm) => !this.picked.has(vm.id)).length;
    const about = JSON.stringify([chosen.length, hidden, narrow.matches, counts.map(([spec, count]) => [spec.verb, count])]);
    if (this.bar && (about === this.about || hasOpenMenu(this.bar))) return;
    this.about = about;
    this.build(chosen.length, hidden, counts);
  }

  build(number, hidden, counts) {
    const isFocused = this.bar?.contains(document.activeElement);
    const all = h("button", { class: "link", type: "button", onclick: () => this.pickAll(true) }, `Select all ${this.matching.length.toLocaleString("en")} that match`);
    const words = h("span", { class: "selection-count", role: "status" }, `${vms(number)} selected`);
    const clear = h("button", { class: "icon-button", type: "button", "aria-label": "Select none", title: "Select none", onclick: () => this.clear() }, icon("x"));
    const bar = h(
      "div",
      { class: "selection card", role: "region", "aria-label": "Selected VMs" },
      h("span", { class: "selection-words" }, words, hidden ? all : null),
      h("span", { class: "selection-verbs" }, ...this.verbButtons(counts)),
      clear,
    );
    if (this.bar) this.bar.replaceWith(bar);
    else this.place.append(bar);
    this.bar = bar;
    if (isFocused) clear.focus();
  }

  verbButtons(counts) {
    const shown = narrow.matches ? [] : counts.filter(([spec]) => !spec.destructive);
    const others = counts.filter((each) => !shown.includes(each));
    const begin = async (spec) => {
      const { openBulk } = await import("./bulk_dialog.js"); // most visitors never need it
      openBulk(spec, this.chosen(), (operation) => this.begun(operation));
    };
    const buttons = shown.map(([spec, count]) => {
      const { title, icon: iconName } = verbWords(spec.verb);
      const text = h("span", {}, title);
      const badge = h("span", { class: "count" }, count.toLocaleString("en"));
      const about = { class: "button button-small", type: "button", disabled: !count, title: spec.summary, onclick: () => begin(spec) };
      return h("button", about, icon(iconName), text, badge);
    });
    if (!others.length) return buttons;
    const more = narrow.matches
      ? h("button", { class: "button button-small", type: "button" }, "Actions", icon("chevron-down"))
      : h("button", { class: "icon-button", type: "button", "aria-label": "More actions", title: "More actions" }, icon("ellipsis"));
    const item = ([spec, count]) => {
      const { title, icon: iconName } = verbWords(spec.verb);
      const note = `sensible for ${count.toLocaleString("en")} of them`;
      return menuItem(iconName, title, () => begin(spec), { note, tone: spec.destructive ? "bad" : "" });
    };
    return [...buttons, menuButton(more, () => others.map(item))];
  }

  begun(operation) {
    this.clear();
    this.onBegun(operation);
  }
}
