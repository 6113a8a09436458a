// Who looks at the page, and what he may: what he may not is not offered. The host checks it all the same.
import { createContext } from "../vendor/preact.js";
import { useContext } from "../vendor/hooks.js";

/** @typedef {{actor: string, namespace: string, expires_at: string | null, run_id: string | null, actions: string[], read_only: boolean, all_runs: boolean}} Access */

export const AccessContext = createContext(/** @type {Access | null} */ (null));

/** Who looks. @returns {Access} */
export const useAccess = () => useContext(AccessContext);

/** What may be done at all. @returns {(action: string) => boolean} */
export function useMay() {
  const access = useContext(AccessContext);
  return (action) => access !== null && access.actions.includes(action);
}
