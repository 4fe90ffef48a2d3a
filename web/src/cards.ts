// SPDX-License-Identifier: Apache-2.0
// The cards under the path: conservation, drops, latency, queues, failures.
import type { Stat } from "./api";
import { ago, byId, count, duration, fill, h, table } from "./dom";

function bars(rows: [string, number][]): HTMLElement {
  const most = Math.max(...rows.map(([, n]) => n));
  return h("ul", { class: "bars" }, ...rows.map(([name, n]) => h("li", {},
    h("span", {}, name), h("meter", { min: "0", max: String(most), value: String(n) }),
    h("span", { class: "n" }, count(n)))));
}

export function showCards(stat: Stat) {
  const c = stat.conservation;
  fill(byId("conservation"), c
    ? h("p", { class: c.sent === c.delivered + c.dropped + c.queued ? "good" : "wait" },
        `${count(c.sent)} sent = ${count(c.delivered)} delivered + ${count(c.dropped)} dropped + ` +
        `${count(c.queued)} queued`)
    : h("p", { class: "dim" }, "The kernel's files do not tell."));

  const drops: [string, number][] = [];
  for (const [stage, s] of Object.entries(stat.stages))
    for (const [reason, n] of Object.entries(s.drops)) drops.push([`${reason} at ${stage}`, n]);
  if (stat.source === "kernel" && !stat.watch) {
    for (const [dev, d] of Object.entries(stat.devices)) {
      if (d.tx_dropped > 0) drops.push([`tx_dropped of ${dev}`, d.tx_dropped]);
      for (const q of d.qdiscs)
        if (q.drops > 0) drops.push([`dropped by ${q.kind} ${q.handle} of ${dev}`, q.drops]);
    }
    for (const [group, name] of [["Ip", "OutDiscards"], ["Ip", "OutNoRoutes"], ["Udp", "SndbufErrors"],
                                 ["Ip", "FragFails"]] as const) {
      const n = stat.snmp[group]?.[name] ?? 0;
      if (n > 0) drops.push([group + name, n]);
    }
  }
  drops.sort((a, b) => b[1] - a[1]);
  fill(byId("drops"), drops.length > 0 ? bars(drops) : h("p", { class: "good" }, "none"));

  const timed = Object.entries(stat.stages).filter(([, s]) => s.ns.p50 !== null);
  const rows = timed.map(([stage, s]) => [stage, duration(s.ns.p50), duration(s.ns.p99)]);
  if (stat.ns && stat.ns.p50 !== null)
    rows.unshift(["call to driver", duration(stat.ns.p50), duration(stat.ns.p99)]);
  fill(byId("latency"), table(["", "median", "99 %"], rows,
    "Not measured: the clock is read only when asked for."));

  const queues = Object.entries(stat.devices).flatMap(([dev, d]) => d.qdiscs.map((q) =>
    [dev, `${q.kind} ${q.handle}`, q.parent, count(q.packets), count(q.drops), count(q.overlimits),
     count(q.requeues), count(q.backlog_packets), count(q.backlog_bytes)]));
  fill(byId("queues"), table(["device", "discipline", "parent", "packets", "drops", "overlimits",
    "requeues", "waiting", "bytes"], queues, "no device"));

  const failures = [...(stat.failures ?? [])].reverse().map((f) => [
    ago(f.at, stat.at), `${f.errno ?? f.reason ?? "?"}${f.times > 1 ? ` ×${count(f.times)}` : ""}`, f.stage ?? "", f.flow,
    h("span", {}, ...(f.object ? [h("div", { class: "object" }, f.object)] : []),
      ...(f.change ? [h("div", { class: "change" }, f.change)] : []))]);
  fill(byId("failures"), table(["when", "what", "stage", "datagram", "why, and what would let it pass"],
    failures, "none"));
}
