// SPDX-License-Identifier: Apache-2.0
// What the server answers. The keys are those of `txpath stat -j` and `txpath explain -j`.

export interface StageInfo {
  stage: string;
  seed: string;
  does: string;
  file: string;
  kernel: string;
}

export interface Quantiles {
  p50: number | null;
  p99: number | null;
}

export interface StageStat {
  packets: number | null; // null: nothing tells
  bytes: number | null;
  drops: Record<string, number>;
  ns: Quantiles;
}

export interface Qdisc {
  handle: string;
  parent: string;
  kind: string;
  bytes: number;
  packets: number;
  drops: number;
  overlimits: number;
  requeues: number;
  backlog_bytes: number;
  backlog_packets: number;
}

export interface Device {
  tx_packets: number;
  tx_bytes: number;
  tx_dropped: number;
  tx_errors: number;
  driver: Record<string, number>;
  qdiscs: Qdisc[];
}

export interface Failure {
  at: number; // ms since the epoch
  stage: string | null;
  errno: string | null;
  reason: string | null;
  flow: string;
  object: string | null;
  change: string | null;
  times: number;
}

export interface TraceLine {
  packet: number;
  at: number; // ms since the epoch
  flow: string;
  events: { ns: number; stage: string; len: number; result: string; by: string[] }[];
}

export interface Stat {
  source: "txpath" | "kernel";
  at: number; // ms since the epoch, by the server
  pids?: number[];
  stages: Record<string, StageStat>;
  snmp: Record<string, Record<string, number>>;
  devices: Record<string, Device>;
  ns?: Quantiles;
  conservation: { sent: number; delivered: number; dropped: number; queued: number } | null;
  failures?: Failure[];
  traces?: TraceLine[];
  watch?: { drops: { reason: string; stage: string | null; location: string; packets: number }[];
            lost: number };
}

export type Field = string | number | null;
export interface DecidingObject {
  kind: string;
  text: string;
  matched?: boolean;
  [field: string]: Field | boolean | undefined;
}

export interface ExplainStage {
  stage: string;
  result: string;
  by?: DecidingObject[];
  also?: DecidingObject[];
  out?: Record<string, Field>;
}

export interface Explanation {
  stages: ExplainStage[];
  verdict: string;
  sentence: string;
  change?: string | null;
  errno: string | null;
  reason: string | null;
  dropped_at: string | null;
  frames: { dev: string; len: number; hex: string }[];
  unknown: DecidingObject[];
}

async function get<T>(url: string): Promise<T> {
  const response = await fetch(url, { headers: { accept: "application/json" } });
  const body = (await response.json().catch(() => ({}))) as T & { error?: string };
  if (!response.ok) throw new Error(body.error ?? `${response.status} ${response.statusText}`);
  return body;
}

export const getPath = () => get<StageInfo[]>("/api/path");
export const getStat = (source: string) => get<Stat>(`/api/stat?source=${source}`);
export const getExplanation = (words: string) =>
  get<Explanation>(`/api/explain?q=${encodeURIComponent(words)}`);
