// What runs are looked for: by text, pipeline, tags and time.
import { html, useEffect, useRef, useState } from "../../html.js";
import { Icon } from "../../parts/icon.js";

export const SPANS = { __proto__: null, "15m": ["Last 15 minutes", 900], "1h": ["Last hour", 3_600], "24h": ["Last 24 hours", 86_400], "7d": ["Last 7 days", 7 * 86_400], "30d": ["Last 30 days", 30 * 86_400] };
const LATER = 250; // milliseconds after the last letter

/** What the surface is asked for, without states and pages. @param {URLSearchParams} query */
export function selectionOf(query) {
  const span = SPANS[query.get("last")];
  // To the minute: who reads the same again asks the same again.
  const since = span ? new Date(Math.floor((Date.now() - span[1] * 1_000) / 60_000) * 60_000).toISOString() : query.get("since");
  return {
    text: query.get("text"), pipeline: query.getAll("pipeline"), version: query.getAll("version"), tag: query.getAll("tag"),
    attribute: query.getAll("attribute"), parent: query.get("parent"), since, until: query.get("until"),
  };
}

/** @param {{query: URLSearchParams, pipelines: {name: string}[], field: object, onChange: (changes: object) => void}} props */
export function Filters({ query, pipelines, field, onChange }) {
  const names = [...new Set([...pipelines.map(({ name }) => name), ...query.getAll("pipeline")])].sort();
  const isFiltered = [...query.keys()].some((name) => name !== "after" && name !== "state");
  const text = useTyped(query.get("text") || "", (value) => onChange({ text: value }));
  const addTag = (event) => {
    if (event.key !== "Enter" || !event.target.value.trim()) return;
    onChange({ tag: [...query.getAll("tag"), event.target.value.trim()] });
    event.target.value = "";
  };
  const custom = query.get("since") || query.get("until");
  return html`
    <search class="filters">
      <label class="field search"><${Icon} name="search" /><span class="unseen">Search</span>
        <input ref=${field} type="search" maxlength="200" placeholder="Id, key, tag or error" ...${text} /><kbd aria-hidden="true">/</kbd></label>
      <label class="field"><span class="unseen">Pipeline</span>
        <select value=${query.get("pipeline") || ""} onChange=${(event) => onChange({ pipeline: event.target.value })}>
          <option value="">All pipelines</option>${names.map((name) => html`<option value=${name}>${name}</option>`)}
        </select></label>
      <label class="field"><span class="unseen">Time</span>
        <select value=${custom ? "custom" : query.get("last") || ""} onChange=${(event) => onChange({ last: event.target.value, since: null, until: null })}>
          <option value="">Any time</option>${Object.entries(SPANS).map(([name, [label]]) => html`<option value=${name}>${label}</option>`)}
          ${custom && html`<option value="custom">Chosen days</option>`}
        </select></label>
      <label class="field narrow"><span class="unseen">Tag</span><input placeholder="Tag, then Enter" maxlength="100" onKeyDown=${addTag} /></label>
      ${["tag", "attribute", "version", "parent"].flatMap((name) => query.getAll(name).map((value) => html`
        <button class="token" onClick=${() => onChange({ [name]: query.getAll(name).filter((each) => each !== value) })} aria-label=${`Without ${name} ${value}`}>
          ${name === "tag" ? "" : `${name} `}${value}<${Icon} name="close" /></button>`))}
      ${isFiltered && html`<button class="quiet" onClick=${() => onChange({ text: null, pipeline: null, last: null, since: null, until: null, tag: null, attribute: null, version: null, parent: null })}>Clear</button>`}
    </search>`;
}

/** A field that is followed a moment after the last letter. */
function useTyped(value, onChange) {
  const [typed, setTyped] = useState(value);
  const timer = useRef(0);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return {
    value: typed,
    onInput: ({ target }) => {
      setTyped(target.value);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => onChange(target.value), LATER);
    },
  };
}
