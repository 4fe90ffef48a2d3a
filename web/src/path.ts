// SPDX-License-Identifier: Apache-2.0
// The drawing of the path: a box a stage, in the places of the kernel's well-known drawing, joined
// by wires on which packets flow. On a narrow screen the boxes stand in one column.
import type { StageInfo, Stat } from "./api";
import { count, duration, h, short } from "./dom";

// Column and row of a stage. A stage that has no place here comes after the others.
const PLACES: Record<string, [number, number]> = {
  sock_sendmsg: [1, 1], inet_sendmsg: [2, 1], inet_autobind: [3, 1],
  udp_sendmsg: [1, 2], ip_route_output_flow: [2, 2], ip_make_skb: [3, 2], udp_send_skb: [4, 2],
  tcp_v4_connect: [1, 3], __tcp_transmit_skb: [2, 3], __ip_queue_xmit: [3, 3],
  ip_send_skb: [1, 4], __ip_local_out: [2, 4], "nf_hook(LOCAL_OUT)": [3, 4], dst_output: [4, 4],
  ip_output: [4, 5], "nf_hook(POST_ROUTING)": [3, 5], ip_finish_output: [2, 5],
  ip_finish_output2: [1, 6], neigh_output: [2, 6], neigh_resolve_output: [3, 6],
  __dev_queue_xmit: [1, 7], netdev_pick_tx: [2, 7], qdisc_enqueue: [3, 7], sch_direct_xmit: [4, 7],
  dev_hard_start_xmit: [1, 8], dev_queue_xmit_nit: [2, 8], net_tx_action: [4, 8],
  ndo_start_xmit: [1, 9], loopback_xmit: [2, 9],
};
const COLUMNS = 4;
const LAYERS: [string, number, number][] = [
  ["socket", 1, 1], ["UDP", 2, 2], ["TCP", 3, 3], ["IP", 4, 6], ["net device", 7, 8],
  ["driver", 9, 9],
];

// From, to, and whether it is a way that only some packets take.
const WIRES: [string, string, ("aside" | "failed")?][] = [
  ["sock_sendmsg", "inet_sendmsg"], ["inet_sendmsg", "inet_autobind", "aside"],
  ["inet_sendmsg", "udp_sendmsg"], ["inet_autobind", "udp_sendmsg", "aside"],
  ["udp_sendmsg", "ip_route_output_flow"], ["ip_route_output_flow", "ip_make_skb"],
  ["ip_make_skb", "udp_send_skb"], ["udp_send_skb", "ip_send_skb"],
  ["ip_send_skb", "__ip_local_out"], ["__ip_local_out", "nf_hook(LOCAL_OUT)"],
  ["nf_hook(LOCAL_OUT)", "dst_output"], ["dst_output", "ip_output"],
  ["ip_output", "nf_hook(POST_ROUTING)"], ["nf_hook(POST_ROUTING)", "ip_finish_output"],
  ["ip_finish_output", "ip_finish_output2"], ["ip_finish_output2", "neigh_output"],
  ["neigh_output", "neigh_resolve_output", "aside"], ["neigh_output", "__dev_queue_xmit"],
  ["neigh_resolve_output", "__dev_queue_xmit", "aside"],
  ["__dev_queue_xmit", "netdev_pick_tx"], ["netdev_pick_tx", "qdisc_enqueue", "aside"],
  ["qdisc_enqueue", "sch_direct_xmit", "aside"],
  ["sch_direct_xmit", "dev_hard_start_xmit", "aside"],
  ["netdev_pick_tx", "dev_hard_start_xmit"], ["sch_direct_xmit", "net_tx_action", "failed"],
  ["dev_hard_start_xmit", "dev_queue_xmit_nit", "aside"],
  ["dev_hard_start_xmit", "ndo_start_xmit"], ["ndo_start_xmit", "loopback_xmit", "aside"],
  ["tcp_v4_connect", "__tcp_transmit_skb", "aside"], ["__tcp_transmit_skb", "__ip_queue_xmit", "aside"],
  ["__ip_queue_xmit", "__ip_local_out", "aside"],
];

// Stages that only some packets come to.
const RARE = new Set(WIRES.filter(([, , kind]) => kind).flatMap(([from, to]) => [from, to])
  .filter((stage) => !WIRES.some(([from, to, kind]) => !kind && (from === stage || to === stage))));

const SVG = "http://www.w3.org/2000/svg";

interface Box {
  info: StageInfo;
  button: HTMLButtonElement;
  rate: HTMLElement;
  note: HTMLElement;
}

export class PathView {
  readonly order: string[] = [];
  private boxes = new Map<string, Box>();
  private flows: { to: string; from: string; path: SVGPathElement }[] = [];
  private rates = new Map<string, number>();

  constructor(private root: HTMLElement, private grid: HTMLElement, private svg: SVGSVGElement,
              stages: StageInfo[], choose: (stage: string) => void) {
    let spare = Math.max(...Object.values(PLACES).map(([, row]) => row)) * COLUMNS;
    for (const [label, first, last] of LAYERS) {
      const band = h("div", { class: "layer" }, h("span", {}, label));
      band.style.gridRow = `${first} / ${last + 1}`;
      grid.append(band);
    }
    for (const info of stages) {
      const [column, row] = PLACES[info.stage] ?? [spare % COLUMNS + 1, Math.floor(spare++ / COLUMNS) + 1];
      const rate = h("span", { class: "rate" });
      const note = h("span", { class: "note" });
      const button = h("button", { type: "button", class: "stage", title: info.does,
        "data-stage": info.stage, "aria-pressed": "false" },
        h("span", { class: "name" }, info.stage), rate, note) as HTMLButtonElement;
      button.style.gridArea = `${row} / ${column + 1}`;
      button.addEventListener("click", () => choose(info.stage));
      grid.append(button);
      this.order.push(info.stage);
      this.boxes.set(info.stage, { info, button, rate, note });
    }
    grid.addEventListener("keydown", (e) => this.walk(e));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  info(stage: string) { return this.boxes.get(stage)?.info; }
  focus(stage: string) { this.boxes.get(stage)?.button.focus(); }
  select(stage: string | null) {
    for (const [name, box] of this.boxes)
      box.button.setAttribute("aria-pressed", String(name === stage));
  }

  // Arrow keys: to the next stage of the path, or the one above or below on the screen.
  private walk(e: KeyboardEvent) {
    const here = (e.target as HTMLElement).dataset?.stage;
    if (here === undefined) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[e.key];
    let next: string | undefined;
    if (e.key === "Home") next = this.order[0];
    else if (e.key === "End") next = this.order.at(-1);
    else if (step !== undefined) next = this.order[this.order.indexOf(here) + step];
    if (next === undefined) return;
    e.preventDefault();
    this.focus(next);
    this.boxes.get(next)?.button.scrollIntoView({ block: "nearest" });
  }

  show(stat: Stat, rates: Map<string, number>) {
    // A stage that nothing tells of has what came to the one before it.
    this.rates = new Map(rates);
    let before = 0;
    for (const stage of this.order) {
      if (RARE.has(stage)) continue;
      if (stat.stages[stage]?.packets == null) this.rates.set(stage, before);
      else before = rates.get(stage) ?? 0;
    }
    for (const [name, box] of this.boxes) {
      const s = stat.stages[name];
      const rate = rates.get(name) ?? 0;
      const drops = Object.values(s?.drops ?? {}).reduce((a, b) => a + b, 0);
      box.rate.textContent = !s ? "" : rate > 0 ? `${short(rate)}/s` : s.packets ? count(s.packets) : "·";
      const notes: string[] = [];
      if (drops > 0) notes.push(`−${short(drops)}`);
      const backlog = name === "qdisc_enqueue" ? Object.values(stat.devices).flatMap((d) => d.qdiscs)
        .filter((q) => q.parent === "root").reduce((sum, q) => sum + q.backlog_packets, 0) : 0;
      if (backlog > 0) notes.push(`${short(backlog)} wait`);
      if (notes.length === 0 && s?.ns.p99 != null) notes.push(duration(s.ns.p99));
      box.note.textContent = notes.join("  ");
      box.button.classList.toggle("quiet", !s || !s.packets);
      box.button.classList.toggle("dropping", drops > 0);
    }
    this.flow();
  }

  // The walk of an explained datagram: `seen` so far; the last one is where it is now.
  mark(seen: { stage: string; mood: string }[] | null) {
    this.root.classList.toggle("walking", seen !== null);
    for (const box of this.boxes.values()) delete box.button.dataset.walk;
    seen?.forEach(({ stage, mood }) => {
      const box = this.boxes.get(stage);
      if (box) box.button.dataset.walk = mood;
    });
    this.flow(seen ? new Set(seen.map((s) => s.stage)) : null);
  }

  private flow(walked: Set<string> | null = null) {
    if (this.root.classList.contains("walking") && walked === null) return;
    for (const f of this.flows) {
      const rate = Math.min(this.rates.get(f.from) ?? 0, this.rates.get(f.to) ?? 0);
      const on = walked ? walked.has(f.from) && walked.has(f.to) : rate > 0;
      f.path.classList.toggle("on", on);
      // A dash a packet would blur: the logarithm of the rate sets the pace.
      const seconds = walked ? 0.8 : Math.max(0.25, 2.2 - 0.4 * Math.log10(Math.max(rate, 1)));
      f.path.style.animationDuration = `${seconds.toFixed(2)}s`;
    }
  }

  private draw() {
    const frame = this.root.getBoundingClientRect();
    const place = (stage: string) => {
      const r = this.boxes.get(stage)?.button.getBoundingClientRect();
      return r && { l: r.left - frame.left, r: r.right - frame.left, t: r.top - frame.top,
                    b: r.bottom - frame.top, x: (r.left + r.right) / 2 - frame.left,
                    y: (r.top + r.bottom) / 2 - frame.top };
    };
    this.svg.innerHTML = '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" ' +
      'markerHeight="7" orient="auto"><path class="tip" d="M0 1L7 4L0 7z"/></marker></defs>';
    this.flows = [];
    this.svg.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
    const narrow = getComputedStyle(this.grid).getPropertyValue("--columns").trim() === "1";
    for (const [from, to, kind] of WIRES) {
      const a = place(from), b = place(to);
      if (!a || !b) continue;
      if (narrow && this.order.indexOf(to) !== this.order.indexOf(from) + 1) continue;
      let d: string;
      if (Math.abs(a.y - b.y) < 8) {  // beside each other, perhaps with boxes between
        const right = b.x > a.x;
        d = `M${right ? a.r : a.l} ${a.y}H${right ? b.l : b.r}`;
      } else if (Math.abs(a.x - b.x) < 8) {
        d = `M${a.x} ${a.b}V${b.t}`;
      } else {  // down, along between the rows, down
        const middle = b.t > a.b ? b.t - (kind ? 5 : 9) : a.b + 9;
        d = `M${a.x} ${a.b}V${middle}H${b.x + (kind ? 10 : 0)}V${b.t}`;
      }
      for (const name of ["wire", "flow"]) {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", d);
        path.setAttribute("class", `${name} ${kind ?? ""}`);
        if (name === "wire") path.setAttribute("marker-end", "url(#tip)");
        this.svg.append(path);
        if (name === "flow") this.flows.push({ from, to, path });
      }
    }
    this.flow();
  }
}
