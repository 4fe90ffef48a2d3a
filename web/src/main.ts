// SPDX-License-Identifier: Apache-2.0
// Asks the server each second, and hands what it says to the drawing, the panel and the cards.
import "./style.css";
import { about } from "./about";
import { getPath, getStat, type Stat } from "./api";
import { showCards } from "./cards";
import { byId, fill, h } from "./dom";
import { PathView } from "./path";
import { Walk } from "./walk";

const PERIOD = 1000; // ms

let stat: Stat | null = null;
let rates = new Map<string, number>();
let chosen: string | null = null;
let paused = false;

const source = byId<HTMLSelectElement>("source");
const panel = byId("about");
const trouble = byId("trouble");

function differ(before: Stat | null, now: Stat): Map<string, number> {
  const out = new Map<string, number>();
  if (!before || before.source !== now.source || now.at <= before.at) return out;
  for (const [stage, s] of Object.entries(now.stages)) {
    const delta = (s.packets ?? 0) - (before.stages[stage]?.packets ?? s.packets ?? 0);
    if (delta > 0) out.set(stage, delta * 1000 / (now.at - before.at));
  }
  return out;
}

async function start() {
  const stages = await getPath();
  const view = new PathView(byId("path"), byId("boxes"),
    document.getElementById("wires") as unknown as SVGSVGElement, stages, choose);
  const walk = new Walk(view, panel);
  const forget = byId("forget");

  function showPanel() {
    if (walk.shown && chosen === null) return;
    const info = chosen === null ? undefined : view.info(chosen);
    if (info) fill(panel, ...about(info, stat, rates.get(info.stage) ?? 0));
    else fill(panel, h("p", { class: "dim" },
      "Choose a stage for its counters, its last failures and traces; or ask above what would " +
      "happen to a datagram."));
  }

  function choose(stage: string) {
    chosen = chosen === stage ? null : stage;
    view.select(chosen);
    showPanel();
    if (chosen && matchMedia("(max-width: 60rem)").matches)
      panel.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  async function refresh() {
    try {
      const next = await getStat(source.value);
      rates = differ(stat, next);
      stat = next;
      trouble.hidden = true;
      byId("whose").textContent = next.source === "kernel" ? `counters of the kernel${next.watch ? ", watched" : ""}`
        : `counters of txpath, process ${(next.pids ?? []).join(", ")}`;
      view.show(next, rates);
      showCards(next);
      showPanel();
    } catch (e) {
      trouble.textContent = (e as Error).message;
      trouble.hidden = false;
    }
  }

  byId("ask").addEventListener("submit", (e) => {
    e.preventDefault();
    chosen = null;
    view.select(null);
    forget.hidden = false;
    void walk.ask(byId<HTMLInputElement>("words").value.trim());
  });
  forget.addEventListener("click", () => {
    walk.forget();
    forget.hidden = true;
    showPanel();
  });
  source.addEventListener("change", () => {
    stat = null;
    void refresh();
  });
  const pause = byId("pause");
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    document.body.classList.toggle("paused", paused);
  });
  document.addEventListener("keydown", (e) => {
    const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
    if (typing || e.ctrlKey || e.altKey || e.metaKey) return;
    if (e.key === "/") {
      e.preventDefault();
      byId<HTMLInputElement>("words").select();
    } else if (e.key === "p") {
      pause.click();
    } else if (e.key === "Escape" && chosen) {
      choose(chosen);
    }
  });

  showPanel();
  await refresh();
  setInterval(() => {
    if (!paused && !document.hidden) void refresh();
  }, PERIOD);
}

start().catch((e: Error) => {
  trouble.textContent = e.message;
  trouble.hidden = false;
});
