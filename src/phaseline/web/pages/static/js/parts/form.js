// A form made of a JSON schema. What it cannot draw is written as JSON.
import { html, useState } from "../html.js";

/** What a schema means once references are followed. @param {any} schema @param {any} root @returns {any} */
export function resolved(schema, root, depth = 0) {
  if (!schema || schema === true || depth > 20) return {};
  if (schema.$ref) {
    const found = schema.$ref.replace(/^#\//, "").split("/").reduce((at, name) => at?.[name], root);
    return { ...resolved(found, root, depth + 1), ...without(schema, "$ref") };
  }
  if (schema.allOf?.length === 1) return { ...resolved(schema.allOf[0], root, depth + 1), ...without(schema, "allOf") };
  const choices = schema.anyOf || schema.oneOf;
  if (choices) {
    const some = choices.filter((each) => each.type !== "null");
    if (some.length === 1) return { ...resolved(some[0], root, depth + 1), ...without(schema, "anyOf", "oneOf"), isOptional: some.length < choices.length };
  }
  return schema;
}

const without = (object, ...names) => Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));

/** What a form begins with. */
export function initial(schema, root, depth = 0) {
  const shape = resolved(schema, root);
  if (shape.default !== undefined) return structuredClone(shape.default);
  if (shape.isOptional) return null;
  if (shape.const !== undefined) return shape.const;
  if (shape.enum) return shape.enum[0];
  if (shape.type === "object" && shape.properties && depth < 6) {
    return Object.fromEntries(Object.entries(shape.properties)
      .filter(([name, each]) => shape.required?.includes(name) || resolved(each, root).default !== undefined)
      .map(([name, each]) => [name, initial(each, root, depth + 1)]));
  }
  if (shape.type === "array") return shape.minItems && depth < 6 ? [initial(shape.items, root, depth + 1)] : [];
  return { string: "", boolean: false, object: {}, null: null }[shape.type];
}

/** @param {{schema: any, root: any, value: any, onChange: (value: any) => void, name: string, path?: string, isRequired?: boolean}} props */
export function Field({ schema, root, value, onChange, name, path = name, isRequired = true }) {
  const shape = resolved(schema, root);
  const isNeeded = isRequired && !shape.isOptional;
  const none = shape.isOptional ? null : undefined; // what is sent where nothing is written
  const hint = shape.description;
  const label = html`<span class="label">${shape.title || name}${!isRequired && html` <span class="muted">optional</span>`}</span>`;
  const about = hint && html`<span class="hint">${hint}</span>`;
  if (shape.type === "object" && shape.properties) {
    return html`<fieldset class="group"><legend>${label}</legend>${about}
      ${Object.entries(shape.properties).map(([each, inner]) => html`
        <${Field} key=${each} schema=${inner} root=${root} name=${each} path=${`${path}.${each}`} isRequired=${Boolean(shape.required?.includes(each))}
          value=${value?.[each]} onChange=${(next) => onChange({ ...value, [each]: next })} />`)}</fieldset>`;
  }
  if (shape.type === "array" && shape.items && !shape.prefixItems) {
    return html`<${List} ...${{ shape, root, value: value || [], onChange, label, about, name, path }} />`;
  }
  if (shape.type === "boolean") {
    return html`<label class="check"><input type="checkbox" checked=${Boolean(value)} onChange=${(event) => onChange(event.target.checked)} />${label}${about}</label>`;
  }
  if (shape.enum) {
    return html`<label>${label}<select required=${isRequired} value=${JSON.stringify(value)} onChange=${(event) => onChange(JSON.parse(event.target.value))}>
      ${shape.enum.map((each) => html`<option value=${JSON.stringify(each)}>${String(each)}</option>`)}</select>${about}</label>`;
  }
  if (shape.type === "integer" || shape.type === "number") {
    return html`<label>${label}<input type="number" required=${isNeeded} min=${shape.minimum} max=${shape.maximum} step=${shape.type === "integer" ? 1 : "any"} value=${value ?? ""}
      onInput=${(event) => onChange(event.target.value === "" ? none : Number(event.target.value))} />${about}</label>`;
  }
  if (shape.type === "string") {
    const isLong = !shape.writeOnly && !shape.format && !(shape.maxLength <= 200) && /description|text|note|body|content|prompt|message/i.test(name);
    const given = { required: isNeeded, maxlength: shape.maxLength, value: value ?? "", placeholder: shape.examples?.[0] ?? "", onInput: (event) => onChange(event.target.value === "" ? none : event.target.value) };
    return html`<label>${label}${isLong ? html`<textarea rows="3" ...${given}></textarea>` : html`<input type=${shape.writeOnly ? "password" : "text"} autocomplete="off" ...${given} />`}${about}</label>`;
  }
  return html`<${Json} ...${{ value, onChange, label, about }} />`;
}

function List({ shape, root, value, onChange, label, about, name, path }) {
  const item = resolved(shape.items, root);
  return html`<fieldset class="group"><legend>${label}</legend>${about}
    ${value.map((each, at) => html`<div class="item" key=${at}>
      <${Field} schema=${shape.items} root=${root} name=${item.title || `${name} ${at + 1}`} path=${`${path}[${at}]`} value=${each} onChange=${(next) => onChange(value.map((old, index) => index === at ? next : old))} />
      <button type="button" class="quiet" aria-label=${`Remove item ${at + 1}`} onClick=${() => onChange(value.filter((_, index) => index !== at))}>Remove</button></div>`)}
    <div><button type="button" class="button small" onClick=${() => onChange([...value, initial(shape.items, root)])}>Add ${(item.title || "an item").toLowerCase()}</button></div></fieldset>`;
}

/** Whatever it is, as JSON. */
export function Json({ value, onChange, label, about }) {
  const [text, setText] = useState(value === undefined ? "" : JSON.stringify(value, null, 2));
  const [problem, setProblem] = useState("");
  const take = (event) => {
    setText(event.target.value);
    try {
      onChange(event.target.value.trim() === "" ? undefined : JSON.parse(event.target.value));
      setProblem("");
      event.target.setCustomValidity("");
    } catch (error) {
      setProblem(error.message);
      event.target.setCustomValidity("This is no JSON");
    }
  };
  return html`<label>${label}<textarea class="mono" rows="4" spellcheck=${false} value=${text} onInput=${take}></textarea>
    ${problem ? html`<span class="hint bad">${problem}</span>` : about || html`<span class="hint">As JSON: a text in quotation marks, a number, true, [..] or {..}</span>`}</label>`;
}
