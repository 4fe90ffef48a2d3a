// SPDX-License-Identifier: Apache-2.0
// A server with made-up answers for the page, so that what it should show is known.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const stages = ["sock_sendmsg", "inet_sendmsg", "inet_autobind", "udp_sendmsg", "ip_route_output_flow",
  "ip_make_skb", "udp_send_skb", "ip_send_skb", "tcp_v4_connect", "__tcp_transmit_skb", "__ip_queue_xmit", "__ip_local_out", "nf_hook(LOCAL_OUT)", "dst_output",
  "ip_output", "nf_hook(POST_ROUTING)", "ip_finish_output", "ip_finish_output2", "neigh_output",
  "neigh_resolve_output", "__dev_queue_xmit", "netdev_pick_tx", "qdisc_enqueue", "sch_direct_xmit",
  "dev_hard_start_xmit", "dev_queue_xmit_nit", "ndo_start_xmit", "net_tx_action", "loopback_xmit"];
const watched = (calls) => ({ source: "kernel", at: Date.now(), devices: {}, snmp: {}, conservation: null,
  stages: { sock_sendmsg: { packets: 500 * calls, bytes: 1, drops: {}, ns: { p50: null, p99: null } },
            __dev_queue_xmit: { packets: 500 * calls, bytes: 1, drops: {}, ns: { p50: 90, p99: 200 } },
            ip_output: { packets: null, bytes: null, drops: { NETFILTER_DROP: 4 }, ns: { p50: null, p99: null } } },
  watch: { lost: 0, drops: [{ reason: "NETFILTER_DROP", stage: "ip_output", location: "nf_hook_slow", packets: 4 }] } });
const rare = new Set(["tcp_v4_connect", "__tcp_transmit_skb", "__ip_queue_xmit", "inet_autobind", "neigh_resolve_output", "dev_queue_xmit_nit", "net_tx_action",
  "loopback_xmit"]);
const path = stages.map((stage) => ({ stage, seed: stage, does: `does ${stage}`, file: "x.cc", kernel: "y.c" }));

function stat(calls) {
  const n = 100000 + calls * 25000;
  const at = Date.now();
  const of = (stage) => rare.has(stage) ? 0 : n;
  return {
    source: "txpath", pids: [4711], at,
    stages: Object.fromEntries(stages.map((s) => [s, {
      packets: of(s), bytes: of(s) * 128,
      drops: s === "nf_hook(LOCAL_OUT)" ? { NETFILTER_DROP: 1200 + calls } : s === "qdisc_enqueue"
        ? { QDISC_DROP: 31 } : {},
      ns: of(s) > 0 ? { p50: 40, p99: 910 } : { p50: null, p99: null } }])),
    snmp: { Udp: { OutDatagrams: n, SndbufErrors: 3 }, Ip: { OutRequests: n } },
    ns: { p50: 812, p99: 5300 },
    devices: { va: { tx_packets: n, tx_bytes: n * 142, tx_dropped: 0, tx_errors: 0, driver: {}, qdiscs: [
      { handle: "8001:", parent: "root", kind: "tbf", bytes: n * 142, packets: n, drops: 31,
        overlimits: 900, requeues: 2, backlog_bytes: 17040, backlog_packets: 120 }] } },
    conservation: { sent: n, delivered: n - 1471, dropped: 1351, queued: 120 },
    failures: [{ at: at - 4000, stage: "nf_hook(LOCAL_OUT)", errno: "EPERM", reason: "NETFILTER_DROP",
      flow: "10.77.0.1:40000 > 10.77.0.2:53 udp", object: "nft-rule inet filter output handle 7: udp dport 53 drop",
      change: "nft delete rule inet filter output handle 7", times: 12 }],
    traces: [{ packet: 17, at: at - 2500, flow: "10.77.0.1:40000 > 10.77.0.2:4000 udp", errno: null,
      events: [{ ns: 0, stage: "sock_sendmsg", len: 100, result: "ok", by: [] },
               { ns: 4100, stage: "ip_route_output_flow", len: 0, result: "ok",
                 by: ["route 10.77.0.0/24 dev va scope link"] }] }],
  };
}

const explained = {
  stages: stages.filter((s) => !s.includes("tcp") && !s.includes("queue_xmit")).slice(0, 10).map((stage) => ({ stage, result: "ok", by: [], also: [], out: {} })),
  verdict: "error", errno: "EPERM", reason: "NETFILTER_DROP", dropped_at: "nf_hook(LOCAL_OUT)",
  sentence: "error: the send call fails with EPERM (Operation not permitted), at nf_hook(LOCAL_OUT)",
  change: "nft delete rule inet filter output handle 7", frames: [], unknown: [],
};
Object.assign(explained.stages[9], { result: "drop", by: [{ kind: "nft-rule", family: "inet",
  table: "filter", chain: "output", handle: 7, text: "udp dport 53 drop" }],
  also: [{ kind: "nft-rule", handle: 6, matched: false, text: "udp dport 123 drop" }] });

export function startServer() {
  let calls = 0;
  const asked = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    asked.push(`${request.method} ${request.url}`);
    const json = (status, value) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value));
    };
    if (url.pathname === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(readFileSync(new URL("../page.html", import.meta.url)));
    } else if (url.pathname === "/api/path") json(200, path);
    else if (url.pathname === "/api/stat")
      url.searchParams.get("source") === "txpath" ? json(200, watched(calls++))
        : url.searchParams.get("source") === "kernel" ? json(503, { error: "the kernel is out" })
        : json(200, stat(calls++));
    else if (url.pathname === "/api/explain")
      url.searchParams.get("q").includes("tos 300") ? json(400, { error: "tos 300: a number from 0 to 255 is wanted" })
        : json(200, explained);
    else json(404, { error: "nothing here" });
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done({
    url: `http://127.0.0.1:${server.address().port}/`, asked, stages,
    close: () => { server.closeAllConnections(); server.close(); } })));
}
