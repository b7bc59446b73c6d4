// Chooses the theme before the first paint: the person's choice, or else the system's.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => localStorage.getItem("novacron.theme");
  const apply = () => {
    document.documentElement.dataset.theme = chosen() || (system.matches ? "dark" : "light");
    window.dispatchEvent(new Event("novacron:theme"));
  };
  window.novacronTheme = {
    toggle() {
      const dark = document.documentElement.dataset.theme === "dark";
      localStorage.setItem("novacron.theme", dark ? "light" : "dark");
      apply();
    },
  };
  system.addEventListener("change", apply);
  apply();
  if (localStorage.getItem("novacron.nav") === "narrow") {
    document.documentElement.dataset.nav = "narrow";
  }
})();
