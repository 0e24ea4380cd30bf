"use strict";
// Runs before the first paint, so that a remembered theme does not flash.
(() => {
  const KEY = "refit-theme";
  const root = document.documentElement;
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch {
    // Storage may be forbidden; the theme of the system is as good.
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";

  function tell() {
    const button = document.getElementById("theme");
    button.setAttribute("aria-pressed", String(isDark()));
    document.dispatchEvent(new CustomEvent("themechange"));
  }

  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try {
        localStorage.setItem(KEY, root.dataset.theme);
      } catch {
        // Then it holds for this visit.
      }
      tell();
    });
    system.addEventListener("change", tell);
    tell();
  });
})();
