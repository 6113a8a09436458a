// The form by which a run is started, made of what the pipeline takes.
import { html, useState } from "../../html.js";
import { change } from "../../api.js";
import { go, href } from "../../route.js";
import { Dialog } from "../../parts/dialog.js";
import { Field, initial } from "../../parts/form.js";
import { Icon } from "../../parts/icon.js";
import { say } from "../../parts/toast.js";

/** @param {{pipeline: any, onClose: () => void}} props */
export function Start({ pipeline, onClose }) {
  const schema = pipeline.input_schema || {};
  const [input, setInput] = useState(() => initial(schema, schema));
  const [more, setMore] = useState({ key: "", tags: "", priority: 100, delay: 0 });
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState(/** @type {any} */ (null));
  const set = (name, read = String) => (event) => setMore((old) => ({ ...old, [name]: read(event.target.value) }));
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const tags = more.tags.split(",").map((tag) => tag.trim()).filter(Boolean);
      const run = await change("pipeline/start", {
        pipeline: pipeline.name, version: pipeline.version, input, tags, priority: more.priority, delay_seconds: more.delay,
        ...more.key && { key: more.key },
      });
      say("The run has begun");
      go(href(["run", run.id]));
    } catch (error) {
      setProblem(error);
      setBusy(false);
    }
  };
  return html`
    <${Dialog} title=${`Start a run of ${pipeline.name}`} onClose=${onClose} wide>
      <form class="form" onSubmit=${submit}>
        <${Field} schema=${schema} root=${schema} name="input" value=${input} onChange=${setInput} />
        <details><summary>Key, tags, priority, delay</summary><div class="options">
          <label><span class="label">Key <span class="muted">optional</span></span><input maxlength="500" value=${more.key} onInput=${set("key")} /><span class="hint">A second start with the same key gives the same run.</span></label>
          <label><span class="label">Tags <span class="muted">optional</span></span><input value=${more.tags} placeholder="urgent, tuesday" onInput=${set("tags")} /></label>
          <label><span class="label">Priority</span><input type="number" min="0" max="999" required value=${more.priority} onInput=${set("priority", Number)} /><span class="hint">Lower goes first.</span></label>
          <label><span class="label">Delay in seconds</span><input type="number" min="0" step="any" required value=${more.delay} onInput=${set("delay", Number)} /></label>
        </div></details>
        ${problem && html`<div class="problem" role="alert"><${Icon} name="warning" /><div>${problem.message}${problem.problems.length > 0 && html`<ul>${problem.problems.map((each) => html`<li>${each}</li>`)}</ul>`}</div></div>`}
        <footer><button type="button" class="button" onClick=${onClose}>Leave it</button><button class="button main" disabled=${isBusy}>Start</button></footer>
      </form>
    <//>`;
}
