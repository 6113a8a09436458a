// What the states of runs and phases look like: a tone has a colour and an icon, so that nobody has to tell colours apart.

const TONES = {
  IDLE: "idle", PAUSED: "paused", FAILED: "failed", COMPLETED: "done", ROLLED_BACK: "undone", ROLLING_BACK: "undone",
  CANCELLED: "cancelled", PENDING: "idle", RUNNING: "active", RETRYING: "retrying", SKIPPED: "skipped",
  WAITING: "waiting", COMPENSATED: "undone",
};

/** What is not here is a label of a phase: the run is at it. */
export const toneOf = (state) => TONES[state] || (/^(WAIT_FOR_|SLEEP)/.test(state) ? "waiting" : "active");

/** The state of a phase as people call it: the engine skips what is cut off, whether by a command or by a phase that failed. */
export const shownState = ({ state, reason }) => state === "SKIPPED" && reason === "cancelled" ? "CANCELLED" : state;

export const only = (...states) => ({ states, has: (state) => states.includes(state) });

/** Groups of states by which runs are looked for, in the order in which they are shown; which the host knows by name, or by states. */
export const GROUPS = [
  { name: "ACTIVE", label: "Active", tone: "active", stage: "active", has: (state) => toneOf(state) === "active" },
  { name: "WAITING", label: "Waiting", tone: "waiting", stage: "waiting", has: (state) => ["idle", "waiting"].includes(toneOf(state)) },
  { name: "PAUSED", label: "Paused", tone: "paused", ...only("PAUSED") },
  { name: "FAILED", label: "Failed", tone: "failed", ...only("FAILED") },
  { name: "COMPLETED", label: "Completed", tone: "done", ...only("COMPLETED") },
  { name: "ROLLED_BACK", label: "Rolled back", tone: "undone", ...only("ROLLED_BACK", "ROLLING_BACK") },
  { name: "CANCELLED", label: "Cancelled", tone: "cancelled", ...only("CANCELLED") },
];

/** Whether a run in that state has ended for now. */
export const isOver = (state) => ["FAILED", "COMPLETED", "ROLLED_BACK", "CANCELLED"].includes(state);
