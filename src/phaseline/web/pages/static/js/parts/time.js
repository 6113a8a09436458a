// Moments, told as how long ago they are; all of them are told anew by one timer.
import { html, useEffect, useState } from "../html.js";
import { between, duration, moment, relative } from "../format.js";

const EVERY = 1_000;
/** @type {Set<(now: number) => void>} */
const clocks = new Set();
setInterval(() => {
  if (!document.hidden) for (const tick of clocks) tick(Date.now());
}, EVERY);

/** The time, as often as it is worth telling. @param {boolean} [runs] false where nothing of it changes */
export function useNow(runs = true) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!runs) return undefined;
    clocks.add(setNow);
    return () => clocks.delete(setNow);
  }, [runs]);
  return now;
}

/** @param {{at: string | null}} props */
export function Ago({ at }) {
  const now = useNow(Boolean(at));
  return at ? html`<time datetime=${at} title=${moment(at)}>${relative(at, now)}</time>` : html`<span class="muted">–</span>`;
}

/** What that means of a run. */
export const TOOK = "From its first start to its last end, with all the time that it lay failed, ended or taken back in between";

/** How long from one moment to another, or to now. @param {{from: string | null, to: string | null}} props */
export function Took({ from, to }) {
  const now = useNow(Boolean(from && !to));
  return from ? html`<span class="number">${duration(Math.max(0, between(from, to, now)))}</span>` : html`<span class="muted">–</span>`;
}
