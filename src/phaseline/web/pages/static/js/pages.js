// All pages: where they are, what one must be allowed to see them, and the module that draws them, loaded when it is asked for.

/** @typedef {{path: string, title: string, icon: string, key: string, needs: string, load: () => Promise<{default: Function}>}} Page */

/** @type {Page[]} */
export const PAGES = [
  { path: "runs", title: "Runs", icon: "runs", key: "r", needs: "list", load: () => import("./pages/runs.js") },
  { path: "pipelines", title: "Pipelines", icon: "pipelines", key: "p", needs: "list", load: () => import("./pages/pipelines.js") },
  { path: "dead-letters", title: "Dead letters", icon: "letters", key: "d", needs: "list", load: () => import("./pages/letters.js") },
  { path: "schedules", title: "Schedules", icon: "schedules", key: "s", needs: "list", load: () => import("./pages/schedules.js") },
  { path: "workers", title: "Workers", icon: "workers", key: "w", needs: "health", load: () => import("./pages/workers.js") },
  { path: "analytics", title: "Analytics", icon: "analytics", key: "a", needs: "stats", load: () => import("./pages/analytics.js") },
];

/** Pages that are reached from others. */
export const INNER = {
  __proto__: null, // an address may have any word
  run: () => import("./pages/run.js"),
};
