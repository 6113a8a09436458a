// The attempts of phases over time, a bar each.
import { html, useMemo, useState } from "../../html.js";
import { clock, count, duration, fault, words } from "../../format.js";
import { shownState, toneOf } from "../../states.js";
import { useNow } from "../../parts/time.js";

export const KINDS = ["PHASE_STARTED", "PHASE_COMPLETED", "PHASE_FAILED", "PHASE_RETRYING", "PHASE_SKIPPED", "PHASE_COMPENSATED", "PHASE_COMPENSATION_FAILED", "PIPELINE_CANCELLED", "PIPELINE_FAILED", "PIPELINE_ROLLED_BACK"];
const ENDS = { PHASE_COMPLETED: "COMPLETED", PHASE_FAILED: "FAILED", PHASE_RETRYING: "RETRYING", PHASE_SKIPPED: "SKIPPED", PHASE_COMPENSATED: "COMPENSATED", PHASE_COMPENSATION_FAILED: "FAILED" };
const ROWS = 30;
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800];

/** Attempts by phase, in the order in which phases began. @param {any[]} events in their order */
export function attemptsOf(events) {
  const rows = new Map();
  const open = new Map();
  const close = (path, at, state, told = "", isFault = false) => {
    const attempt = open.get(path);
    if (!attempt) return;
    Object.assign(attempt, { to: at, state, told, isFault });
    open.delete(path);
  };
  for (const { type, phase, at: text, data } of events) {
    const at = new Date(text).getTime();
    if (type === "PHASE_STARTED") {
      const attempt = { number: data.attempt, from: at, to: null, state: "RUNNING", told: "" };
      rows.set(phase, [...(rows.get(phase) || []), attempt]);
      open.set(phase, attempt);
    } else if (type.startsWith("PIPELINE_")) {
      for (const path of [...open.keys()]) close(path, at, "CANCELLED", words(type));
    } else for (const path of phase ? [phase] : data.paths || []) close(path, at, shownState({ state: ENDS[type], reason: data.reason }), data.error ? fault(data.error) : data.note || data.reason || "", Boolean(data.error));
  }
  return [...rows].map(([path, attempts]) => ({ path, attempts }));
}

/** @param {{events: any[], isPart: boolean, waiting: Set<string>, selected: string | null, onSelect: (path: string) => void}} props */
export function Timeline({ events, isPart, waiting, selected, onSelect }) {
  const [isLong, setLong] = useState(false);
  const rows = useMemo(() => attemptsOf(events), [events]);
  const runs = rows.some(({ attempts }) => attempts.some(({ to }) => to === null));
  const now = useNow(runs);
  if (!rows.length) return html`<p class="muted body">No phase has begun yet.</p>`;
  const all = rows.flatMap(({ attempts }) => attempts);
  const from = Math.min(...all.map((each) => each.from));
  const to = Math.max(from + 1, ...all.map((each) => each.to ?? now));
  const step = STEPS.find((each) => (to - from) / 1_000 / each <= 7) || STEPS.at(-1);
  const ticks = Array.from({ length: Math.floor((to - from) / 1_000 / step) + 1 }, (_, at) => at * step);
  const left = (at) => `${100 * (at - from) / (to - from)}%`;
  const shown = isLong ? rows : rows.slice(0, ROWS);
  return html`
    <div class="timeline" role="table" aria-label="Attempts over time">
      <div class="axis" aria-hidden="true"><span></span><div>${ticks.map((tick) => html`<i style=${{ left: left(from + tick * 1_000) }}>${tick === 0 ? clock(from).slice(0, 8) : `+${duration(tick)}`}</i>`)}</div></div>
      ${shown.map(({ path, attempts }) => html`
        <div class=${`row ${path === selected ? "selected" : ""}`} role="row" key=${path}>
          <button class="cut" role="rowheader" title=${path} onClick=${() => onSelect(path)}>${path}</button>
          <div role="cell">${attempts.map((attempt) => {
            const end = attempt.to ?? now;
            const text = `${path}, attempt ${attempt.number}: ${words(attempt.state)} after ${duration((end - attempt.from) / 1_000)}${attempt.told ? `: ${attempt.told}` : ""}`;
            return html`<span class=${`attempt tone-${attempt.state === "RETRYING" && attempt.isFault ? "failed" : attempt.to === null && waiting.has(path) ? "waiting" : toneOf(attempt.state)} ${attempt.to === null ? "open" : ""}`} title=${text} role="img" aria-label=${text}
              style=${{ left: left(attempt.from), width: `max(3px, ${100 * (end - attempt.from) / (to - from)}%)` }}></span>`;
          })}</div>
        </div>`)}
      ${(rows.length > ROWS || isPart) && html`<p class="more muted">
        ${rows.length > shown.length && html`<button class="button small" onClick=${() => setLong(true)}>Show all ${count(rows.length)}</button>`}
        ${isPart && "The latest attempts are drawn; earlier ones stand in the events."}</p>`}
    </div>`;
}
