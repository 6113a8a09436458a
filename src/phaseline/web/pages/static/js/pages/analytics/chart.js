// Lines over time, drawn by uPlot in the colours of the page.
import uPlot from "../../../vendor/uplot.js";
import { html, useEffect, useRef, useState } from "../../html.js";

const HEIGHT = 190;
const FONT = "11px system-ui, sans-serif";
/** Colours of lines, by the custom properties of the page. */
export const COLOURS = ["--active", "--done", "--undone", "--retrying", "--waiting", "--failed", "--idle"];

const DAY = 86_400;
const TENS = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000].flatMap((each) => [each, 2 * each, 5 * each]);
/** How far labels of an axis may be apart: runs are whole, and a time is told in whole milliseconds, seconds, minutes, hours. */
const STEPS = { number: TENS, seconds: [...[0.001, 0.01, 0.1].flatMap((each) => [each, 2 * each, 5 * each]), 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, ...[1, 2, 5, 10, 20, 50, 100].map((each) => each * DAY)] };
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** What stands below the lines: the day where one begins, else the time of day. */
const moments = (_, splits) => splits.map((seconds) => {
  const at = new Date(seconds * 1_000);
  return at.getHours() || at.getMinutes() ? clock.format(at) : date.format(at);
});

const STYLE = "vendor/uplot.css";
function loadStyle() {
  if (document.querySelector(`link[href="${STYLE}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: STYLE }));
}

/** What a custom property comes to here and now: it depends on the theme. */
function colourOf(element, name) {
  element.style.color = `var(${name})`;
  const found = getComputedStyle(element).color;
  element.style.color = "";
  return found;
}

/** Changes whenever the theme does. */
function useThemeStamp() {
  const [stamp, setStamp] = useState(0);
  useEffect(() => {
    const look = () => setStamp((old) => old + 1);
    const machine = matchMedia("(prefers-color-scheme: dark)");
    const page = new MutationObserver(look);
    machine.addEventListener("change", look);
    page.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      machine.removeEventListener("change", look);
      page.disconnect();
    };
  }, []);
  return stamp;
}

/**
 * @param {{title: string, times: number[], lines: {name: string, colour: string, values: (number | null)[]}[], unit: string, show: (value: number) => string, isBars?: boolean}} props
 *   `times` in seconds since 1970
 */
export function Chart({ title, times, lines, unit, show, isBars = false }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const theme = useThemeStamp();
  const [at, setAt] = useState(/** @type {number | null} */ (null));
  const latest = useRef(show);
  latest.current = show;
  const shape = JSON.stringify([times, lines]);
  useEffect(() => {
    loadStyle();
    const element = place.current;
    const colour = (name) => colourOf(element, name);
    const half = times.length > 1 ? (times[1] - times[0]) / 2 : DAY / 2; // of a bar, with the room around it
    const axis = { stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
    const chart = new uPlot({
      width: element.clientWidth, height: HEIGHT, legend: { show: false }, padding: [12, 8, 0, 0],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } }, scales: { x: { range: (_, first, last) => isBars ? [first - half, last + half] : [first, last] }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] } },
      axes: [{ ...axis, grid: { show: false }, space: 64, size: 32, values: moments }, { ...axis, size: 58, space: 34, ...STEPS[unit] && { incrs: STEPS[unit] }, values: (_, splits) => splits.map((value) => latest.current(value)) }],
      series: [{}, ...lines.map((line) => ({
        label: line.name, stroke: colour(line.colour), width: 1.75, spanGaps: true, points: { show: times.length < 40, size: 5 },
        ...isBars && { paths: uPlot.paths.bars({ size: [0.7, 60] }), fill: colour(line.colour), points: { show: false } },
      }))],
      hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
    }, [times, ...lines.map(({ values }) => values)], element);
    const size = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    size.observe(element);
    return () => {
      size.disconnect();
      chart.destroy();
    };
  }, [shape, theme, isBars]);
  const told = (line) => at === null || line.values[at] === null || line.values[at] === undefined ? "" : show(line.values[at]);
  const when = at !== null && times[at] ? new Date(times[at] * 1_000) : null;
  return html`<figure class="card chart" aria-label=${title}>
    <figcaption><h2>${title}</h2><span class="muted small number">${when && when.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })}</span></figcaption>
    <div class="drawn" ref=${place} role="img" aria-label=${`${title}: ${lines.map(({ name }) => name).join(", ")}; the numbers stand in the table below`}></div>
    <ul class="legend">${lines.map((line) => html`<li key=${line.name}><i class=${`dot ${line.colour.slice(2)}`}></i>${line.name} <b class="number">${told(line)}</b></li>`)}</ul>
  </figure>`;
}
