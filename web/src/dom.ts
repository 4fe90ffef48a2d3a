// SPDX-License-Identifier: Apache-2.0
// Small words for the document. Text always goes in as text.

type Child = Node | string;

export function h(tag: string, attributes: Record<string, string> = {}, ...children: Child[]) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function byId<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no #${id}`);
  return element as T;
}

// Replaces the children only when they differ, so that nothing flickers and selections stay; what
// was unfolded stays so.
export function fill(parent: Element, ...children: Child[]) {
  const fresh = document.createElement("div");
  fresh.append(...children);
  for (const open of parent.querySelectorAll<HTMLDetailsElement>("details[open]"))
    fresh.querySelector(`details[data-key="${open.dataset.key}"]`)?.setAttribute("open", "");
  if (fresh.innerHTML !== parent.innerHTML) parent.replaceChildren(...fresh.childNodes);
}

export function table(heads: string[], rows: Child[][], empty: string): HTMLElement {
  if (rows.length === 0) return h("p", { class: "dim" }, empty);
  const numeric = (column: number) => rows.every((r) => /^[\d.,]+( ?[kMGTµmn]?(B|s|\/s)?)?$/.test(
    typeof r[column] === "string" ? (r[column] as string) : r[column]?.textContent ?? ""));
  const right = heads.map((_, i) => numeric(i));
  const cell = (tag: string, child: Child, i: number) =>
    h(tag, right[i] ? { class: "n" } : {}, child);
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ...heads.map((t, i) => cell("th", t, i)))),
    h("tbody", {}, ...rows.map((r) => h("tr", {}, ...r.map((c, i) => cell("td", c, i)))))));
}

export const count = (n: number | null) => n === null ? "–" : n.toLocaleString("en-US");

export function short(n: number): string {
  for (const [limit, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]] as const)
    if (n >= limit) return `${(n / (unit === "k" ? 1e3 : limit)).toPrecision(3)} ${unit}`;
  return n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n.toPrecision(2);
}

export function duration(ns: number | null | undefined): string {
  if (ns === null || ns === undefined) return "–";
  if (ns >= 1e9) return `${(ns / 1e9).toPrecision(3)} s`;
  if (ns >= 1e6) return `${(ns / 1e6).toPrecision(3)} ms`;
  if (ns >= 1e3) return `${(ns / 1e3).toPrecision(3)} µs`;
  return `${Math.round(ns)} ns`;
}

export const ago = (then: number, now: number) => {
  const s = Math.max(0, (now - then) / 1000);
  return s < 60 ? `${Math.round(s)} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago`
    : new Date(then).toLocaleString();
};
