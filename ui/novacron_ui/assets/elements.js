// Building elements. Text goes in as text, never as markup: names come from guests.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function s(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

export function icon(name) {
  return h("span", { class: `icon icon-${name}`, "aria-hidden": "true" });
}

// Sets text only where it differs, so that nothing is laid out again for nothing.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Go to another page of ours without loading the document again.
export function visit(href) {
  history.pushState({}, "", href);
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  window.scrollTo(0, 0);
}

// Keep `value` in the URL's query; the default is left out.
export function remember(name, value, fallback = "") {
  const url = new URL(location.href);
  if (value === fallback || value === null) url.searchParams.delete(name);
  else url.searchParams.set(name, value);
  history.replaceState(history.state, "", url);
}

export function remembered(name, fallback = "") {
  return new URL(location.href).searchParams.get(name) ?? fallback;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
