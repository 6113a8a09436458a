// Small drawings of one line each, on a grid of 16.
import { html } from "../html.js";

const PATHS = {
  // states
  done: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M5.3 8.2l1.9 1.9 3.5-4",
  failed: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M5.9 5.9l4.2 4.2m0-4.2-4.2 4.2",
  paused: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M6.5 5.8v4.4m3-4.4v4.4",
  idle: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M8 4.8V8l2 1.6",
  waiting: "M4.5 2h7m-7 12h7M5 2c0 3.2 3 4 3 6s-3 2.8-3 6m6-12c0 3.2-3 4-3 6s3 2.8 3 6",
  active: "M14.2 8A6.2 6.2 0 1 1 8 1.8",
  retrying: "M13.5 6.5A5.8 5.8 0 1 0 13.8 9M13.8 2.8v3.8H10",
  undone: "M2.5 6.5A5.8 5.8 0 1 1 2.2 9M2.2 2.8v3.8H6",
  cancelled: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8M3.7 3.7l8.6 8.6",
  skipped: "M3 4l5 4-5 4zM9 4l4 4-4 4z",
  // places
  runs: "M2 4h1m3 0h8M2 8h1m3 0h8M2 12h1m3 0h8",
  pipelines: "M4 5.5a1.8 1.8 0 1 0 0-3.5 1.8 1.8 0 0 0 0 3.5m0 0v5m0 3.5a1.8 1.8 0 1 0 0-3.5 1.8 1.8 0 0 0 0 3.5m8-5.2a1.8 1.8 0 1 0 0-3.5 1.8 1.8 0 0 0 0 3.5m0 0c0 2.2-4 1.7-8 2",
  letters: "M2 4h12v8.5H2zm0 .5 6 4.5 6-4.5",
  schedules: "M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 2v3m5-3v3",
  workers: "M2.5 3h11v4h-11zm0 6h11v4h-11zM5 5h.01M5 11h.01",
  analytics: "M2.5 2v11.5H14M5 10.5l2.8-3.5 2.2 2L13.5 4.5",
  // deeds and signs
  play: "M5 3v10l8-5z", pause: "M5.5 3v10m5-10v10", stop: "M4 4h8v8H4z", close: "M4 4l8 8m0-8-8 8",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 14 14",
  plus: "M8 3v10M3 8h10", check: "M3.5 8.5l3 3 6-7", copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  fork: "M4 2v12M4 10c0-3 8-1.5 8-5V2m-2.3 2L12 1.7 14.3 4", signal: "M8 14V8m0-2h.01M4.5 9.5a4.5 4.5 0 0 1 0-7m7 0a4.5 4.5 0 0 1 0 7",
  note: "M3 13l.7-3L11 2.7l2.3 2.3L6 12.3z", left: "M10 3 5 8l5 5", right: "M6 3l5 5-5 5", down: "M3 6l5 5 5-5",
  sun: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 1v1.5m0 11V15M1 8h1.5m11 0H15M3 3l1 1m8 8 1 1m0-10-1 1m-8 8-1 1",
  moon: "M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z", auto: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 0v12",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.01m2.5 0h.01m2.5 0h.01m2.5 0h.01M5 9.5h6", warning: "M8 2 14.5 13.5h-13zM8 6.5v3m0 2h.01",
  plug: "M6 2v3m4-3v3M4 5h8v2.5a4 4 0 0 1-8 0zM8 11.5V14", map: "M3 3h10v3H3zm0 5h10v2H3zm0 4h10v2H3z",
};

/** @param {{name: keyof typeof PATHS, class?: string}} props */
export const Icon = ({ name, class: more = "" }) => html`
  <svg class=${`icon ${more}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d=${PATHS[name] || PATHS.idle} /></svg>`;
