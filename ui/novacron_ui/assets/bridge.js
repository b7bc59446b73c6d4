// Dash's clientside callbacks, each handed to the page's own module, loaded when first needed.
window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.novacron = {
  fleet: (data) => import("./fleet.js").then((page) => page.showSnapshot(data)),
  sparklines: (data) => import("./fleet.js").then((page) => page.showSparklines(data)),
  notices: (data) => import("./notices.js").then((notices) => notices.show(data)),
  title: (title) => {
    document.title = title;
  },
  hosts: (data) => import("./shell.js").then((shell) => shell.showHosts(data)),
  machine: (data) => import("./machine.js").then((page) => page.showSnapshot(data)),
  panels: (panels) => import("./machine.js").then((page) => page.showPanels(panels)),
};
