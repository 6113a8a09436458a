// What a page reads, and reads again: the old is shown until the new is there.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const NOTHING = { data: null, error: null, isLoading: true };

/**
 * Read something whenever what it depends on changes.
 * @template T @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} deps
 * @returns {{data: T | null, error: Error | null, isLoading: boolean, again: () => void}}
 */
export function useLoad(load, deps) {
  const [state, setState] = useState(NOTHING);
  const latest = useRef(load);
  const running = useRef(/** @type {AbortController | null} */ (null));
  const isStale = useRef(false);
  latest.current = load;

  const again = useCallback(() => {
    if (running.current) { // one at a time; what changed meanwhile is read after it
      isStale.current = true;
      return;
    }
    const control = (running.current = new AbortController());
    const settle = (next) => {
      if (running.current !== control) return;
      running.current = null;
      setState(next);
      if (isStale.current) {
        isStale.current = false;
        again();
      }
    };
    latest.current(control.signal).then(
      (data) => settle({ data, error: null, isLoading: false }),
      (error) => settle((old) => ({ data: error.status ? null : old.data, error, isLoading: false })),
    );
  }, []);

  useLayoutEffect(() => { // it is asked for before anything is painted
    setState((old) => old.isLoading ? old : { ...old, isLoading: true });
    again();
    return () => {
      running.current?.abort();
      running.current = null;
      isStale.current = false;
    };
  }, deps);
  return { ...state, again };
}

/** Call something at most once in a while, and once more at the end. @param {() => void} call @param {number} ms */
export function useAtMost(call, ms) {
  const latest = useRef(call);
  const timer = useRef(0);
  latest.current = call;
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      latest.current();
    }, ms);
  }, [ms]);
}
