// JSON data as a tree, opened as far as there is something to see at once. What was left out says how much it was.
import { html, useState } from "../html.js";
import { count } from "../format.js";

const OPEN_DEPTH = 2, OPEN_SIZE = 12;
const LEFT_OUT = "$left_out";

/** How many more there are, if a value stands for what was left out. */
const leftOut = (value) => value && typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 1 ? value[LEFT_OUT] : undefined;

/** In words; null where nobody counted. */
const more = (number, what = "") => `${number === null ? "" : `${count(number)} `}more${what}`;

/** @param {{value: unknown, name?: string, depth?: number}} props */
export function Tree({ value, name, depth = 0 }) {
  const label = name === undefined ? null : html`<span class="key">${name}</span>`;
  if (value === null || typeof value !== "object") return html`<div class="leaf">${label}<${Leaf} value=${value} /></div>`;
  const missing = leftOut(value);
  if (missing !== undefined) return html`<div class="leaf muted">${more(missing)}, not shown</div>`;
  if (Array.isArray(value) && value.length === 2 && typeof value[0] === "string" && leftOut(value[1]) !== undefined) {
    return html`<div class="leaf">${label}<${Leaf} value=${value[0]} /> <span class="muted">… ${more(leftOut(value[1]), " characters")}</span></div>`;
  }
  return html`<${Inside} value=${value} label=${label} depth=${depth} />`;
}

function Inside({ value, label, depth }) {
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  const [isOpen, setOpen] = useState(depth < OPEN_DEPTH && entries.length <= OPEN_SIZE || depth === 0);
  const brackets = isList ? ["[", "]"] : ["{", "}"];
  if (!entries.length) return html`<div class="leaf">${label}<span class="muted">${brackets.join("")}</span></div>`;
  return html`
    <details open=${isOpen} onToggle=${(event) => setOpen(event.currentTarget.open)}>
      <summary>${label}<span class="muted">${isList ? `${count(entries.length)} ${entries.length === 1 ? "item" : "items"}` : entries.length === 1 ? "1 member" : `${count(entries.length)} members`}</span></summary>
      ${isOpen && html`<div class="inside">${entries.map(([key, each]) => key === LEFT_OUT
        ? html`<div class="leaf muted">${more(each)}, not shown</div>`
        : html`<${Tree} key=${key} name=${key} value=${each} depth=${depth + 1} />`)}</div>`}
    </details>`;
}

function Leaf({ value }) {
  if (value === null) return html`<span class="muted">null</span>`;
  return html`<span class=${`value ${typeof value}`}>${typeof value === "string" ? value : String(value)}</span>`;
}
