// Which keys there are.
import { html } from "../html.js";
import { Dialog } from "./dialog.js";

const KEYS = [
  ["/", "Search"], ["j  k", "Next and previous row"], ["Enter", "Open the row"], ["x", "Select the row"],
  ["Esc", "Leave a field, close, go up"], ["g then r, p, d, s, w, a", "Go to runs, pipelines, dead letters, schedules, workers, analytics"],
  ["?", "These keys"],
];

export const Help = ({ onClose }) => html`
  <${Dialog} title="Keys" onClose=${onClose}>
    <dl class="keys">${KEYS.map(([keys, what]) => html`<div><dt>${keys.split("  ").map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
  <//>`;
