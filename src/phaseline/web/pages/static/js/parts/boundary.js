// What keeps a fault of one page from taking away all others.
import { Component } from "../../vendor/preact.js";
import { html } from "../html.js";
import { Notice } from "./notice.js";

/** @augments {Component<{at: string, children?: unknown}, {error: Error | null}>} `at`: which page it is */
export class Boundary extends Component {
  static getDerivedStateFromError(error) {
    return { error };
  }

  componentDidCatch(error) {
    reportError(error); // so that it stands where developers look
  }

  componentDidUpdate({ at }) {
    if (this.state.error && at !== this.props.at) this.setState({ error: null }); // another page may be whole
  }

  render({ children }, { error }) {
    return error ? html`<${Notice} tone="bad" icon="warning" title="This page broke">
      <p>Something came that it cannot show: ${String(error.message || error)}. The other pages go on.</p>
      <p><button class="button" onClick=${() => this.setState({ error: null })}>Try again</button></p><//>` : children;
  }
}
