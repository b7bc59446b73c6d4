// Chooses the theme before the first paint: the person's choice, or else the system's. Choices are
// in cookies: opening the local storage takes 30 ms, before which nothing would be painted.
(() => {
  const YEAR = 31536000;
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = (name) => document.cookie.match(`(?:^|; )novacron-${name}=(\\w+)`)?.[1];
  const choose = (name, value) => {
    document.cookie = `novacron-${name}=${value}; Path=/; Max-Age=${YEAR}; SameSite=Strict`;
  };
  const apply = () => {
    root.dataset.theme = chosen("theme") || (system.matches ? "dark" : "light");
    window.dispatchEvent(new Event("novacron:theme"));
  };
  window.novacronChoices = {
    toggleTheme() {
      choose("theme", root.dataset.theme === "dark" ? "light" : "dark");
      apply();
    },
    toggleNavigation() {
      choose("nav", root.dataset.nav === "narrow" ? "wide" : "narrow");
      root.dataset.nav = chosen("nav");
    },
  };
  system.addEventListener("change", apply);
  apply();
  root.dataset.nav = chosen("nav") || "wide";
})();
