// How many phases end on each queue in a minute, counted from the events that this page hears.
import { useEffect, useRef } from "../../html.js";
import { part, read } from "../../api.js";

const SPAN = 60_000, LEAST = 10_000; // milliseconds that count, and before which nothing is told
const DONE = new Set(["PHASE_COMPLETED", "PHASE_SKIPPED"]);
/** Whether an attempt failed: one whose body asked to be called again did not, nor one that was handed over. @param {any} event */
const isFailure = ({ type, data }) => type === "PHASE_FAILED" || (type === "PHASE_RETRYING" && (data.reason === "failed" || data.reason === "lost"));

/** Where each phase of each pipeline waits: events do not say. @returns {Promise<Map<string, string>>} */
async function queuesByPhase() {
  const { pipelines } = await read("pipelines");
  const all = await Promise.all(pipelines.map(({ name, version }) => read(`pipelines/${part(name)}`, { version })));
  return new Map(all.flatMap(({ name, graph }) => graph.nodes.map((node) => [`${name}/${node.path}`, node.queue])));
}

/** @param {boolean} isOn @returns {{note: (event: any) => void, forget: () => void, of: (queue: string) => {done: number, failed: number} | null}} */
export function useRates(isOn) {
  const kept = useRef({ began: Date.now(), queues: /** @type {Map<string, string> | null} */ (null), heard: /** @type {{at: number, queue: string, isDone: boolean}[]} */ ([]) });
  useEffect(() => {
    if (isOn) queuesByPhase().then((queues) => { kept.current.queues = queues; }, () => {}); // then no rate is told
  }, [isOn]);
  const recent = () => {
    const { heard } = kept.current;
    while (heard[0]?.at <= Date.now() - SPAN) heard.shift();
    return heard;
  };
  return {
    note(event) {
      const { type, pipeline, phase } = event;
      if (!DONE.has(type) && !isFailure(event)) return;
      const queue = kept.current.queues?.get(`${pipeline}/${(phase || "").replace(/\[\d+\]/g, "[]")}`);
      if (queue) recent().push({ at: Date.now(), queue, isDone: DONE.has(type) });
    },
    forget() {
      kept.current.began = Date.now();
      kept.current.heard = [];
    },
    of(queue) {
      const now = Date.now();
      const { began, queues } = kept.current;
      const heard = recent();
      if (!queues || now - began < LEAST) return null;
      const minutes = Math.min(SPAN, now - began) / SPAN;
      const rate = (isDone) => Math.round(heard.filter((each) => each.queue === queue && each.isDone === isDone).length / minutes);
      return { done: rate(true), failed: rate(false) };
    },
  };
}
