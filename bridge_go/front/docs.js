"use strict";
// Shows the fields of openapi.json beside it and sends the row that is in the form. It loads nothing from elsewhere.

const at = (id) => document.getElementById(id);
let schemas = {};
let token = "";
const base = location.pathname.replace(/docs$/, ""); // of the pages of this model

function follow(schema) {
  for (let steps = 0; steps < 20 && schema && schema.$ref; steps++) {
    schema = schemas[schema.$ref.split("/").pop()];
  }
  return schema || {};
}

function describe(schema) {
  schema = follow(schema);
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" or ");
  if ("const" in schema) return JSON.stringify(schema.const);
  const options = schema.anyOf || schema.oneOf;
  if (options) return options.map(describe).join(" or ");
  if (schema.type === "array") return "list of " + describe(schema.items || {});
  const bounds = [["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"],
    ["minLength", "length ≥"], ["maxLength", "length ≤"]].filter(([k]) => k in schema).map(([k, sign]) => `${sign} ${schema[k]}`);
  return [[].concat(schema.format || schema.type || "anything").join(" or "), ...bounds].join(", ");
}

function example(schema, depth = 0) {
  schema = follow(schema);
  if (depth > 6) return null;
  if (schema.examples && schema.examples.length) return schema.examples[0];
  if ("default" in schema) return schema.default;
  if (schema.enum) return schema.enum[0];
  if ("const" in schema) return schema.const;
  const options = schema.anyOf || schema.oneOf;
  if (options) return example(options.find((o) => follow(o).type !== "null") || {}, depth + 1);
  switch ([].concat(schema.type)[0]) {
    case "object":
      return Object.fromEntries(Object.entries(schema.properties || {}).map(([k, v]) => [k, example(v, depth + 1)]));
    case "array": return [];
    case "integer": case "number": return number(schema);
    case "boolean": return false;
    case "null": return null;
    case "string": return string(schema);
  }
  return {};
}

function number(schema) {
  if ("minimum" in schema) return schema.minimum;
  if ("exclusiveMinimum" in schema) return schema.exclusiveMinimum + 1;
  return 0;
}

function string(schema) {
  if (schema.format === "date-time") return new Date().toISOString();
  if (schema.format === "date") return new Date().toISOString().slice(0, 10);
  return "A".repeat(schema.minLength || 1);
}

// Fields come in the order of the example, which is that of the class.
function fields(table, schema, shown) {
  schema = follow(schema);
  const required = new Set(schema.required || []);
  const order = Object.keys(shown ? shown.row.value : {});
  const place = ([name]) => (order.indexOf(name) + 1 || order.length + 1);
  row(table, "th", ["field", "type", "", "meaning"]);
  for (const [name, field] of Object.entries(schema.properties || {}).sort((a, b) => place(a) - place(b))) {
    row(table, "td", [name, describe(field), required.has(name) ? "required" : "optional", field.description || follow(field).description || ""]);
  }
}

function row(table, cell, texts) {
  const tr = table.insertRow();
  for (const text of texts) {
    const td = document.createElement(cell);
    td.textContent = text;
    tr.append(td);
  }
}

function curl() {
  const body = at("row").value.replace(/\s*\n\s*/g, " ").replaceAll("'", "'\\''");
  const secret = token && ` -H "Authorization: Bearer $TOKEN"`;
  at("curl").textContent = `curl ${location.origin}${base}predict${secret} -d '${body}'`;
}

function headers(more = {}) {
  return token ? { ...more, Authorization: "Bearer " + token } : more;
}

async function send() {
  at("status").textContent = "…";
  const start = performance.now();
  try {
    const answer = await fetch(base + "predict", { method: "POST", body: at("row").value, headers: headers({ "Content-Type": "application/json" }) });
    const text = await answer.text();
    at("status").textContent = `${answer.status} in ${Math.round(performance.now() - start)} ms`;
    at("answer").hidden = false;
    try { at("answer").textContent = JSON.stringify(JSON.parse(text), null, 2); } catch { at("answer").textContent = text; }
  } catch (error) {
    at("status").textContent = "no answer: " + error.message;
  }
}

function fill(value) {
  at("row").value = JSON.stringify(value, null, 2);
  curl();
}

function offer(examples) {
  for (const name of ["row", "list"]) at("choose-" + name).addEventListener("click", () => fill(examples[name].value));
  at("choices").hidden = false;
}

function show(api) {
  schemas = api.components.schemas;
  at("title").textContent = document.title = api.info.title;
  const post = api.paths[base + "predict"].post;
  const asked = post.requestBody.content["application/json"];
  const answered = post.responses["200"].content["application/json"];
  const shape = asked.schema.anyOf[0];
  fields(at("row-fields"), shape, asked.examples);
  fields(at("prediction-fields"), answered.schema.anyOf[0].anyOf[0], answered.examples);
  if (asked.examples) offer(asked.examples);
  if (answered.examples) {
    at("prediction-example").hidden = false;
    at("prediction-example").textContent = JSON.stringify(answered.examples.row.value, null, 2);
  }
  fill(asked.examples ? asked.examples.row.value : example(shape));
}

async function load() {
  const answer = await fetch(base + "openapi.json", { headers: headers() });
  at("asked").hidden = answer.status !== 401;
  if (answer.ok) show(await answer.json());
}

async function start() {
  at("row").addEventListener("input", curl);
  at("send").addEventListener("click", send);
  at("asked").addEventListener("submit", (event) => {
    event.preventDefault();
    token = at("token").value;
    load();
  });
  const ready = await fetch("/readyz");
  const state = await ready.json();
  at("ready").textContent = ready.ok ? "The model is ready." : "Not ready: " + state.detail;
  await load();
}

start();
