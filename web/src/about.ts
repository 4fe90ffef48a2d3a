// SPDX-License-Identifier: Apache-2.0
// The panel beside the path: one stage's counters, last failures and traces.
import type { StageInfo, Stat, StageStat } from "./api";
import { ago, count, duration, h, short, table } from "./dom";

// Protocol counters that belong to a stage.
const SNMP: Record<string, string[]> = {
  udp_sendmsg: ["Udp.SndbufErrors"],
  ip_route_output_flow: ["Ip.OutNoRoutes"],
  udp_send_skb: ["Udp.OutDatagrams", "Udp.SndbufErrors"],
  ip_send_skb: ["Ip.OutDiscards"],
  __ip_local_out: ["Ip.OutRequests"],
  ip_output: ["IpExt.OutOctets", "IpExt.OutMcastPkts", "IpExt.OutBcastPkts"],
  ip_finish_output: ["Ip.FragOKs", "Ip.FragFails", "Ip.FragCreates"],
  ip_finish_output2: ["Ip.OutTransmits"],
};

function counters(s: StageStat, rate: number): HTMLElement {
  return table(["", ""], [
    ["packets", count(s.packets)], ["bytes", count(s.bytes)], ["packets a second", short(rate)],
    ["latency, median", duration(s.ns.p50)], ["latency, 99 %", duration(s.ns.p99)],
  ], "");
}

function traces(stat: Stat, stage: string): Node[] {
  const through = (stat.traces ?? []).filter((t) => t.events.some((e) => e.stage === stage));
  if (through.length === 0) return [];
  const one = through.slice(-5).reverse().map((t) => h("details", { "data-key": String(t.packet) },
    h("summary", {}, `#${t.packet} ${t.flow}, ${ago(t.at, stat.at)}`),
    h("ol", { class: "trace" }, ...t.events.map((e) => h("li",
      e.stage === stage ? { class: "here" } : {},
      h("code", {}, `${duration(e.ns).padStart(8)} ${e.stage}`), ` ${e.result}`,
      ...e.by.map((b) => h("div", { class: "object" }, b)))))));
  return [h("h3", {}, "Last traces"), ...one];
}

export function about(info: StageInfo, stat: Stat | null, rate: number): Node[] {
  const out: Node[] = [
    h("h2", {}, info.stage), h("p", {}, info.does),
    h("p", { class: "dim" }, `${info.seed !== info.stage ? `drawn as ${info.seed} · ` : ""}` +
      `src/${info.file} · kernel: ${info.kernel}`),
  ];
  if (!stat) return out;
  const s = stat.stages[info.stage];
  if (s) {
    out.push(counters(s, rate));
    const drops = Object.entries(s.drops);
    if (drops.length > 0) out.push(h("h3", {}, "Dropped here"),
      table(["reason", "packets"], drops.map(([r, n]) => [r, count(n)]), ""));
  } else {
    out.push(h("p", { class: "dim" }, "The kernel's files count no stages."));
  }
  const snmp = (SNMP[info.stage] ?? []).map((key) => {
    const [group = "", name = ""] = key.split(".");
    return [key.replace(".", ""), count(stat.snmp[group]?.[name] ?? 0)];
  });
  if (snmp.length > 0) out.push(h("h3", {}, "Protocol counters"), table(["", ""], snmp, ""));
  const dropped = (stat.watch?.drops ?? []).filter((d) => d.stage === info.stage);
  if (dropped.length > 0) out.push(h("h3", {}, "Where in the kernel"), table(["reason", "function", "packets"],
    dropped.map((d) => [d.reason, d.location, count(d.packets)]), ""));
  const failures = (stat.failures ?? []).filter((f) => f.stage === info.stage).slice(-5).reverse();
  if (failures.length > 0) out.push(h("h3", {}, "Last failures"), ...failures.map((f) => h("div",
    { class: "failure" }, h("b", {}, f.errno ?? f.reason ?? "?"), ` ${f.flow}, ${ago(f.at, stat.at)}`,
    ...(f.object ? [h("div", { class: "object" }, f.object)] : []),
    ...(f.change ? [h("div", { class: "change" }, f.change)] : []))));
  out.push(...traces(stat, info.stage));
  return out;
}
