// A window over the page: the browser keeps the focus in it, and Escape closes it.
import { html, useEffect, useRef } from "../html.js";
import { Icon } from "./icon.js";

/** @param {{title: string, onClose: () => void, children: unknown, wide?: boolean}} props */
export function Dialog({ title, onClose, children, wide = false }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    element.current.showModal();
    return () => element.current?.close();
  }, []);
  return html`
    <dialog ref=${element} class=${wide ? "wide" : ""} aria-label=${title} onClose=${onClose}
      onClick=${(event) => event.target === element.current && onClose()}>
      <header><h2>${title}</h2><button class="quiet" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button></header>
      ${children}
    </dialog>`;
}
