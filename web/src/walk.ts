// SPDX-License-Identifier: Apache-2.0
// The explain form: the datagram walks the path stage by stage, and what stops it is named.
import { getExplanation, type DecidingObject, type ExplainStage, type Explanation } from "./api";
import { byId, fill, h } from "./dom";
import type { PathView } from "./path";

const BAD = new Set(["drop", "error"]);
const WAIT = new Set(["queued", "unknown"]);
const mood = (s: ExplainStage) => BAD.has(s.result) ? "bad" : WAIT.has(s.result) ? "wait" : "good";

const object = (o: DecidingObject, matched = true) => {
  const place = [o.family, o.table, o.chain].filter((x) => x !== undefined).join(" ");
  const handle = o.handle !== undefined ? ` handle ${o.handle}` : "";
  return h("div", { class: matched ? "object" : "object no" }, h("b", {}, o.kind), ` ${o.text}`,
    place || handle ? h("span", { class: "dim" }, ` ${place}${handle}`) : "");
};

export class Walk {
  private turn = 0;

  constructor(private view: PathView, private panel: HTMLElement) {}

  get shown() { return !byId("verdict").hidden; }

  async ask(words: string) {
    const turn = ++this.turn;
    const verdict = byId("verdict");
    verdict.hidden = false;
    verdict.className = "";
    verdict.textContent = "asking…";
    let x: Explanation;
    try {
      x = await getExplanation(/^(udp|tcp)\b/.test(words) ? words : `udp ${words}`);
    } catch (e) {
      if (turn !== this.turn) return;
      this.view.mark(null);
      verdict.className = "bad";
      verdict.textContent = (e as Error).message;
      return;
    }
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (let n = still ? x.stages.length : 1; n <= x.stages.length; ++n) {
      if (turn !== this.turn) return;
      const seen = x.stages.slice(0, n);
      this.view.mark(seen.map((s, i) => ({ stage: s.stage,
        mood: i === n - 1 && n < x.stages.length ? "now" : mood(s) })));
      this.show(seen);
      verdict.textContent = `at ${seen.at(-1)?.stage}…`;
      if (!still) await new Promise((done) => setTimeout(done, 110));
    }
    if (turn !== this.turn) return;
    this.view.mark(x.stages.map((s) => ({ stage: s.stage, mood: mood(s) })));
    this.show(x.stages);
    verdict.className = x.verdict === "sent" ? "good"
      : x.verdict === "queued" || x.verdict === "unknown" ? "wait" : "bad";
    const stopper = x.verdict === "sent" ? undefined
      : x.stages.find((s) => mood(s) !== "good" && s.by?.length)?.by?.at(-1);
    fill(verdict, h("b", {}, x.sentence), ...(stopper ? [object(stopper)] : []),
      ...(x.change ? [h("div", { class: "change" }, x.change)] : []));
  }

  forget() {
    ++this.turn;
    byId("verdict").hidden = true;
    this.view.mark(null);
  }

  private show(stages: ExplainStage[]) {
    fill(this.panel, h("h2", {}, "The datagram's way"), h("ol", { class: "walk" },
      ...stages.map((s) => h("li", { class: mood(s) }, h("code", {}, s.stage),
        s.result === "ok" ? "" : h("b", { class: mood(s) }, ` ${s.result}`),
        ...(s.by ?? []).map((o) => object(o)), ...(s.also ?? []).map((o) => object(o, false)),
        ...(s.out && Object.keys(s.out).length > 0 ? [h("div", { class: "dim" }, "→ " +
          Object.entries(s.out).map(([k, v]) => `${k} ${v ?? "none"}`).join(", "))] : [])))));
    const last = this.panel.querySelector("li:last-child");
    if (this.panel.scrollHeight > this.panel.clientHeight) last?.scrollIntoView({ block: "nearest" });
  }
}
