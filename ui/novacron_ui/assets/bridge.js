// Dash's clientside callbacks, each handed to the page's own module, loaded when first needed.
// What draws the data that a page comes with has an output, which it leaves alone: see browser.py.
window.dash_clientside = window.dash_clientside || {};
const drawn = () => window.dash_clientside.no_update;
window.dash_clientside.novacron = {
  fleet: (data) => import("/assets/fleet.js").then((page) => page.showSnapshot(data)).then(drawn),
  sparklines: (data) => import("/assets/fleet.js").then((page) => page.showSparklines(data)),
  notices: (data) => import("/assets/notices.js").then((notices) => notices.show(data)),
  shell: (shown) => import("/assets/shell.js").then((shell) => shell.showPage(shown)).then(drawn),
  machine: (data) => import("/assets/machine.js").then((page) => page.showSnapshot(data)),
  monitoring: (data) => import("/assets/machine.js").then((page) => page.showMonitoring(data)),
  operations: () => import("/assets/operations.js").then((page) => page.show()).then(drawn),
  collector: (data) => import("/assets/collector.js").then((page) => page.showFigures(data)).then(drawn),
  panels: (panels) => import("/assets/panels.js").then((page) => page.showPanels(panels)),
};
