// The parts of a dialog that orders something: a verb's arguments, the reason, the confirmation.

import { h } from "./elements.js";
import { sentence } from "./api.js";

const FORCE = {
  "after-grace": ["Shut down, then force", "The power is taken away if it is still on after the grace"],
  never: ["Shut down only", "It fails if the guest is still on after the grace"],
  now: ["Take the power away now", "The guest loses what it has not written"],
};
const CHOICES = { force: FORCE };
const TITLES = { force: "How", grace_s: "Grace", vcpus: "CPUs", memory_mib: "Memory" };
const UNITS = { s: "seconds", mib: "MiB" };
// Arguments that say nothing beside others.
const POINTLESS = { grace_s: (values) => values.force === "now" };

// {root, values()}; `onChange` is told of every change.
export function argumentsForm(spec, onChange) {
  const fields = spec.arguments.map(field);
  fields.sort((a, b) => Boolean(b.about.choices.length) - Boolean(a.about.choices.length));
  const values = () => {
    const all = Object.fromEntries(fields.map(({ about, read }) => [about.name, read()]));
    return Object.fromEntries(Object.entries(all).filter(([name]) => !POINTLESS[name]?.(all)));
  };
  const update = () => {
    const given = values();
    for (const { about, root } of fields) root.hidden = !(about.name in given);
    onChange();
  };
  const root = h("div", { class: "order-fields", oninput: update }, ...fields.map((each) => each.root));
  return { root, values, update };
}

function field(about) {
  if (about.choices.length) return choice(about);
  if (typeof about.default === "boolean") return flag(about);
  return typeof about.default === "number" ? number(about) : text(about);
}

function choice(about) {
  const inputs = about.choices.map((value) =>
    h("input", { type: "radio", name: about.name, value, checked: value === about.default }),
  );
  const lines = inputs.map((input) => {
    const [title, note] = CHOICES[about.name]?.[input.value] || [input.value, ""];
    const words = h("span", {}, title, h("small", { class: "field-note" }, note));
    return h("label", { class: "option" }, input, words);
  });
  const legend = h("legend", { class: "field-name" }, title(about));
  const root = h("fieldset", { class: "options" }, legend, ...lines);
  return { about, root, read: () => inputs.find((input) => input.checked).value };
}

function number(about) {
  const { minimum: min, maximum: max } = about;
  const input = h("input", { class: "input", type: "number", step: about.whole ? 1 : "any", required: true, min, max, value: about.default });
  const unit = UNITS[about.name.split("_").at(-1)];
  return labelled(about, input, () => input.valueAsNumber, unit);
}

function text(about) {
  const input = h("input", { class: "input", type: "text", required: about.required, value: about.default, autocomplete: "off" });
  return labelled(about, input, () => input.value);
}

function flag(about) {
  const input = h("input", { type: "checkbox", checked: about.default });
  const words = h("span", {}, sentence(about.summary));
  return { about, root: h("label", { class: "option" }, input, words), read: () => input.checked };
}

function labelled(about, input, read, unit = "") {
  const note = h("span", { class: "field-note" }, [unit, about.summary].filter(Boolean).join(" "));
  const row = h("span", { class: "field-row" }, input, note);
  return { about, root: h("label", { class: "field" }, h("span", { class: "field-name" }, title(about)), row), read };
}

function title(about) {
  return TITLES[about.name] || sentence(about.name.replaceAll("_", " ")).slice(0, -1);
}

export function reasonField() {
  const input = h("input", { class: "input", type: "text", maxlength: 500, autocomplete: "off", placeholder: "Optional: it goes on record" });
  const root = h("label", { class: "field" }, h("span", { class: "field-name" }, "Reason"), input);
  return { root, value: () => input.value.trim() };
}

// Typed by hand, so that nothing is lost by a slip. `wanted`: the VM's name, or how many.
export function confirmField(wanted, what, onChange) {
  const input = h("input", { class: "input mono", type: "text", autocomplete: "off", spellcheck: "false", oninput: onChange });
  const name = h("span", { class: "field-name" }, `To confirm, type ${what}: `, h("bdi", { class: "mono confirm-word" }, wanted));
  const root = h("label", { class: "field" }, name, input);
  return { root, input, isRight: () => plain(input.value) === plain(wanted) };
}

// Nobody can type what is no character on the screen.
const plain = (text) => text.replace(/[\p{C}\s]+/gu, " ").trim();

// Whether a guest may lose what it has not written.
export function isDestructive(spec, given) {
  return spec.destructive || given.force === "now" || given.discard_saved === true;
}
