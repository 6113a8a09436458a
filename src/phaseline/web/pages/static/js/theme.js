// Light or dark: as the machine has it, unless somebody chose.
import { useState } from "./html.js";

const KEY = "phaseline.theme";
const ORDER = ["system", "light", "dark"];

function stored() {
  try {
    return localStorage.getItem(KEY) || "system";
  } catch { // a browser that keeps nothing
    return "system";
  }
}

export function applyTheme(theme = stored()) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** The theme, and what chooses the next one. @returns {[string, () => void]} */
export function useTheme() {
  const [theme, setTheme] = useState(stored);
  return [theme, () => {
    const next = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    try {
      localStorage.setItem(KEY, next);
    } catch { /* it holds until the page is left */ }
    applyTheme(next);
    setTheme(next);
  }];
}
