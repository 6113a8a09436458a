// Keys that do something, wherever the page has its focus; not while somebody writes.
import { useEffect, useRef } from "./html.js";

const WRITES = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/** @type {Set<{current: Record<string, (event: KeyboardEvent) => void>}>} */
const tables = new Set();

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = /** @type {HTMLElement} */ (event.target);
  if (WRITES.has(target.tagName) && event.key === "Escape") return target.blur();
  if (WRITES.has(target.tagName) && target.type !== "checkbox") return;
  const menu = /** @type {HTMLDetailsElement | null} */ (document.querySelector(".menu[open]"));
  if (menu && event.key === "Escape") { // it closes this alone, and leaves no page
    menu.open = false;
    return menu.querySelector("summary").focus();
  }
  if (document.querySelector("dialog[open]")) return; // it has keys of its own
  for (const table of [...tables].reverse()) {
    const act = table.current[event.key];
    if (!act) continue;
    event.preventDefault();
    act(event);
    return;
  }
});

/** @param {Record<string, (event: KeyboardEvent) => void>} table by the key's name */
export function useKeys(table) {
  const latest = useRef(table);
  latest.current = table;
  useEffect(() => {
    tables.add(latest);
    return () => tables.delete(latest);
  }, []);
}
