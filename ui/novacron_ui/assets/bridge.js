// Dash's clientside callbacks, each handed to the page's own module, loaded when first needed.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.novacron = {
  fleet: (data) => import("/assets/fleet.js").then((page) => page.showSnapshot(data)),
  sparklines: (data) => import("/assets/fleet.js").then((page) => page.showSparklines(data)),
  notices: (data) => import("/assets/notices.js").then((notices) => notices.show(data)),
  shell: (shown) => import("/assets/shell.js").then((shell) => shell.showPage(shown)),
  machine: (data) => import("/assets/machine.js").then((page) => page.showSnapshot(data)),
  monitoring: (data) => import("/assets/machine.js").then((page) => page.showMonitoring(data)),
  collector: (data) => import("/assets/collector.js").then((page) => page.showFigures(data)),
  panels: (panels) => import("/assets/panels.js").then((page) => page.showPanels(panels)),
};
