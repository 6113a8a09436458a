// Numbers, times and names as people read them.

const LOCALE = "en";
const COUNT = new Intl.NumberFormat(LOCALE);
const COMPACT = new Intl.NumberFormat(LOCALE, { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const RELATIVE = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto", style: "short" });
const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

export const count = (number) => COUNT.format(number);
export const compact = (number) => COMPACT.format(number);
export const moment = (text) => MOMENT.format(new Date(text));
/** A moment as clocks of a time zone show it; seconds where there are any. */
export function inZone(text, zone) {
  const at = new Date(text);
  const second = at.getSeconds() ? "2-digit" : undefined;
  return new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second, timeZone: zone }).format(at);
}
export const clock = (text) => CLOCK.format(new Date(text));
export const percent = (part) => part === null ? "–" : `${(100 * part).toFixed(part > 0.995 && part < 1 ? 2 : 1)} %`;

/** How long ago, or how soon. */
export function relative(text, now = Date.now()) {
  const seconds = (new Date(text).getTime() - now) / 1_000;
  if (Math.abs(seconds) < 5) return "just now";
  if (Math.abs(seconds) > 30 * 86_400) return DAY.format(new Date(text));
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each);
  return RELATIVE.format(Math.round(seconds / size), unit);
}

/** How long something took. @param {number} seconds */
export function duration(seconds) {
  if (seconds < 0.0005) return "0 ms";
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ${pad((seconds / 60) % 60)} m`;
  return `${Math.floor(seconds / 86_400)} d ${pad((seconds / 3_600) % 24)} h`;
}

const pad = (number) => String(Math.floor(number)).padStart(2, "0");

/** Seconds between two moments; until now where the second is missing. */
export const between = (from, to, now = Date.now()) => ((to ? new Date(to).getTime() : now) - new Date(from).getTime()) / 1_000;

/** `GENERATING_PROMPTS` as people write it. */
export function words(name) {
  const text = name.replaceAll("_", " ").replaceAll("-", " ").toLowerCase();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** An error in a line; not all have words. */
export const fault = ({ type, message }) => message ? `${type}: ${message}` : type;

/** The end of an id, which tells it from its neighbours. */
export const short = (id) => id.length > 12 ? id.slice(-8) : id;

/** An amount of money, or of whatever is paid with; it comes as a text, so that nothing of it is lost. */
export function cost(text) {
  const number = Number(text);
  return number === 0 ? "0" : number < 0.01 ? number.toPrecision(2) : COUNT.format(Math.round(number * 10_000) / 10_000);
}
