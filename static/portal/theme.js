// Auto, light or dark: kept in this browser, and set before the first paint, so this is no module.
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];

  /** @returns {string} */
  const read = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // storage is forbidden here; the theme then lasts as long as the page
    }
  };

  /** @param {string} theme */
  const write = (theme) => {
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // see above
    }
  };

  let theme = read();

  const show = () => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      const name = (button instanceof HTMLElement && button.dataset[theme]) || "";
      const words = button.querySelector("[data-theme-name]");
      if (words) words.textContent = name;
      else button.setAttribute("aria-label", name);
      button.setAttribute("title", name);
    }
  };

  show();
  document.addEventListener("DOMContentLoaded", () => {
    show();
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.addEventListener("click", () => {
        theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "auto";
        write(theme);
        show();
      });
    }
  });
})();
