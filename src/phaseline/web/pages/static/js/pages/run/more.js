// What else there is of a run: where it can be taken back to, and what it used.
import { html, useState } from "../../html.js";
import { cost, count } from "../../format.js";
import { Ago } from "../../parts/time.js";
import { Ask, DEEDS, placesOf } from "./deeds.js";

const deed = (verb) => DEEDS.find((each) => each.verb === verb);

/** @param {{run: any, rights: Set<string>, pipeline: any, onDone: () => void}} props */
export function Checkpoints({ run, rights, pipeline, onDone }) {
  const [asked, setAsked] = useState(/** @type {{verb: string, place: string} | null} */ (null));
  const places = new Set(placesOf(run).map(({ id }) => id));
  const may = (verb) => rights.has(verb) && run.allowed.includes(verb);
  if (!run.checkpoints.length) return html`<p class="muted">None yet: there is one after each phase.</p>`;
  return html`
    <table class="list flat"><thead><tr><th>After</th><th class="end">When</th><th class="end"><span class="unseen">What to do</span></th></tr></thead>
      <tbody>${[...run.checkpoints].reverse().map(({ id, phase, created_at: at }) => html`<tr key=${id}><td class="mono">${phase}</td><td class="end"><${Ago} at=${at} /></td>
        <td class="end">${["rollback", "fork"].filter((verb) => may(verb) && places.has(id)).map((verb) => html` <button class="button small" onClick=${() => setAsked({ verb, place: id })}>${verb === "fork" ? "Fork from here" : "Roll back to here"}</button>`)}</td></tr>`)}</tbody></table>
    ${asked && html`<${Ask} deed=${deed(asked.verb)} place=${asked.place} run=${run} pipeline=${pipeline} onClose=${() => setAsked(null)} onDone=${() => { setAsked(null); onDone(); }} />`}`;
}

export const hasUsage = ({ usage }) => usage.requests > 0 || Number(usage.cost) > 0 || usage.input_tokens > 0 || usage.output_tokens > 0;

export const Usage = ({ run }) => html`
  <table class="list flat"><thead><tr><th>Phase</th><th class="end">Requests</th><th class="end">Tokens in</th><th class="end">Tokens out</th><th class="end">Cost</th></tr></thead>
    <tbody>${Object.entries(run.usage_by_phase).map(([path, usage]) => html`<${Line} name=${path} usage=${usage} />`)}<${Line} name="In all" usage=${run.usage} /></tbody></table>`;

const Line = ({ name, usage }) => html`<tr><td>${name}</td><td class="end">${count(usage.requests)}</td><td class="end">${count(usage.input_tokens)}</td><td class="end">${count(usage.output_tokens)}</td><td class="end">${cost(usage.cost)}</td></tr>`;
