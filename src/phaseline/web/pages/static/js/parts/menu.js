// Buttons that are seldom needed, behind one.
import { html } from "../html.js";
import { Icon } from "./icon.js";

/** @param {{label: string, items: {verb: string, label: string, icon: string}[], onChoose: (verb: string) => void}} props */
export function Menu({ label, items, onChoose }) {
  const choose = (verb) => (event) => {
    event.currentTarget.closest("details").open = false;
    onChoose(verb);
  };
  return html`<details class="menu"><summary class="button">${label}<${Icon} name="down" /></summary><div role="menu">
    ${items.map((item) => html`<button role="menuitem" key=${item.verb} onClick=${choose(item.verb)}><${Icon} name=${item.icon} />${item.label}</button>`)}</div></details>`;
}
