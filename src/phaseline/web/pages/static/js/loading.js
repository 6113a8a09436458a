// What a page reads, and reads again: the old is shown until the new is there.
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const NOTHING = { data: null, error: null, isLoading: true };
const TRY_AGAIN = 5_000; // milliseconds

/** Whether it was said for good, and not for now. */
const isRefusal = ({ status }) => status >= 400 && status < 500 && status !== 429;

/**
 * Read something whenever what it depends on changes. Where that fails for now, what was read of the same stays, and it is tried again.
 * @template T @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} deps what is read @param {unknown} [stamp] changes with it
 * @returns {{data: T | null, error: Error | null, isLoading: boolean, again: () => void}}
 */
export function useLoad(load, deps, stamp) {
  const [state, setState] = useState(NOTHING);
  const latest = useRef(load);
  const running = useRef(/** @type {AbortController | null} */ (null));
  const isStale = useRef(false);
  const isSame = useRef(false); // whether what is shown is of these `deps`
  const timer = useRef(0);
  latest.current = load;

  const again = useCallback(() => {
    if (running.current) { // one at a time; what changed meanwhile is read after it
      isStale.current = true;
      return;
    }
    clearTimeout(timer.current);
    const control = (running.current = new AbortController());
    const settle = (data, error) => {
      if (running.current !== control) return;
      running.current = null;
      const isKept = error && !isRefusal(error) && isSame.current;
      isSame.current = isKept || !error;
      setState((old) => ({ data: isKept ? old.data : data, error, isLoading: false }));
      if (isStale.current) {
        isStale.current = false;
        again();
      } else if (error && !isRefusal(error)) timer.current = setTimeout(again, TRY_AGAIN);
    };
    latest.current(control.signal).then((data) => settle(data, null), (error) => settle(null, error));
  }, []);

  useLayoutEffect(() => { isSame.current = false; }, deps);
  useLayoutEffect(() => { // it is asked for before anything is painted
    setState((old) => old.isLoading ? old : { ...old, isLoading: true });
    again();
    return () => {
      clearTimeout(timer.current);
      running.current?.abort();
      running.current = null;
      isStale.current = false;
    };
  }, [...deps, stamp]);
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
