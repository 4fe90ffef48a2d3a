// SPDX-License-Identifier: Apache-2.0
// The page in a headless Chromium. CHROMIUM names the browser; SHOTS a folder for screenshots.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { chromium } from "playwright-core";
import { startServer } from "./server.mjs";

let browser, server, page;
const problems = [];

before(async () => {
  server = await startServer();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"] });
});
after(async () => {
  await browser?.close();
  server.close();
});

async function open(options = {}) {
  page = await browser.newPage({ viewport: { width: 1360, height: 900 }, ...options });
  page.on("pageerror", (e) => problems.push(String(e)));
  page.on("console", (m) => m.type() === "error" && !m.text().includes("status of") &&
    problems.push(m.text()));
  page.on("request", (r) => assert.ok(r.url().startsWith(server.url), `${r.url()} is another server`));
  await page.goto(server.url);
  await page.waitForSelector("[data-stage=ndo_start_xmit] .rate:not(:empty)");
}
const box = (stage) => page.locator(`[data-stage="${stage}"]`);
const flowing = () => page.locator(".flow.on").nth(10).waitFor({ state: "attached" });
const shot = (name, full = true) => process.env.SHOTS &&
  page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: full });

beforeEach(() => { problems.length = 0; });
afterEach(async () => {
  await page?.close();
  assert.deepEqual(problems, []);
});

test("every stage is drawn, and packets flow between those that have any", async () => {
  await open();
  assert.equal(await page.locator(".stage").count(), server.stages.length);
  await flowing();
  assert.match(await box("ip_output").locator(".rate").textContent(), /\/s$/);
  assert.match(await box("nf_hook(LOCAL_OUT)").locator(".note").textContent(), /−12\d\d/);
  assert.match(await box("qdisc_enqueue").locator(".note").textContent(), /120 wait/);
  assert.ok(await box("loopback_xmit").evaluate((b) => b.classList.contains("quiet")));
  await shot("light");
});

test("no two boxes overlap, at any width, and nothing is wider than the page", async () => {
  for (const width of [360, 700, 1000, 1360, 1900]) {
    await open({ viewport: { width, height: 800 } });
    const boxes = await page.locator(".stage").evaluateAll((all) => all.map((b) => {
      const r = b.getBoundingClientRect();
      return [r.left, r.top, r.right, r.bottom];
    }));
    for (let i = 0; i < boxes.length; ++i)
      for (let k = 0; k < i; ++k) {
        const [a, b] = [boxes[i], boxes[k]];
        assert.ok(a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1], `${i} over ${k} at ${width}`);
      }
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `wider than ${width}`);
    await page.close();
  }
  page = null;
});

test("a stage that is chosen shows its counters, drops, last failures and traces", async () => {
  await open();
  await box("nf_hook(LOCAL_OUT)").click();
  const about = page.locator("#about");
  await about.locator("text=NETFILTER_DROP").waitFor();
  assert.match(await about.textContent(), /to let it pass|nft delete rule inet filter output handle 7/);
  await box("ip_route_output_flow").click();
  await about.locator("summary", { hasText: "#17" }).click();
  assert.match(await about.textContent(), /route 10\.77\.0\.0\/24 dev va/);
  // It stays open while the counters go on.
  await page.waitForTimeout(1300);
  assert.ok(await about.locator("details").evaluate((d) => d.open));
});

test("the keyboard walks the path and opens a stage", async () => {
  await open();
  await box("sock_sendmsg").focus();
  for (let i = 0; i < 3; ++i) await page.keyboard.press("ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.dataset.stage), "udp_sendmsg");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("#about h2").textContent(), "udp_sendmsg");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#about h2").count(), 0);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "words");
});

test("explain walks the datagram to the rule that stops it, and names it", async () => {
  await open();
  await page.fill("#words", "to 10.77.0.2:53");
  await page.keyboard.press("Enter");
  const verdict = page.locator("#verdict");
  await verdict.locator("text=udp dport 53 drop").waitFor();
  assert.match(await verdict.textContent(), /EPERM.*handle 7/);
  assert.equal(await box("nf_hook(LOCAL_OUT)").getAttribute("data-walk"), "bad");
  assert.equal(await box("udp_sendmsg").getAttribute("data-walk"), "good");
  assert.equal(await box("ip_output").getAttribute("data-walk"), null);
  await shot("explain");
  assert.match(await page.locator("#failures").textContent(), /EPERM ×12/);
  await page.click("#forget");
  assert.equal(await page.locator("[data-walk]").count(), 0);
  await page.fill("#words", "to 10.77.0.2:53 tos 300");
  await page.keyboard.press("Enter");
  await verdict.locator("text=tos 300: a number from 0 to 255 is wanted").waitFor();
});

test("an error of the server is said, and goes when it is mended", async () => {
  await open();
  await page.selectOption("#source", "kernel");
  await page.locator("#trouble", { hasText: "the kernel is out" }).waitFor();
  await page.selectOption("#source", "auto");
  await page.locator("#trouble").waitFor({ state: "hidden" });
});

test("the kernel's own path, where some stages tell nothing", async () => {
  await open();
  await page.selectOption("#source", "txpath");
  await page.locator("#whose", { hasText: "counters of the kernel, watched" }).waitFor();
  await page.locator('[data-stage="__dev_queue_xmit"] .rate', { hasText: "/s" }).waitFor();
  await flowing();  // also through the stages that tell nothing
  await box("ip_output").click();
  assert.match(await page.locator("#about").textContent(), /packets–.*NETFILTER_DROPnf_hook_slow4/);
  await page.locator("#drops", { hasText: "NETFILTER_DROP at ip_output" }).waitFor();
});

test("pause stops asking", async () => {
  await open();
  await page.locator("#pause").focus();
  await page.keyboard.press("p");
  const before = server.asked.length;
  await page.waitForTimeout(1500);
  assert.ok(server.asked.length <= before + 1);
});

test("only GET is asked", () => {
  assert.ok(server.asked.every((a) => a.startsWith("GET ")));
});

test("dark, and at a phone's width", async () => {
  await open({ colorScheme: "dark" });
  await flowing();
  const luminance = await page.evaluate(() => {
    const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number);
    return r + g + b;
  });
  assert.ok(luminance < 200);
  await box("qdisc_enqueue").click();
  await shot("dark");
  await page.close();
  await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
  await flowing();
  await box("nf_hook(LOCAL_OUT)").tap();
  await shot("phone");
});

test("who wants no motion gets none", async () => {
  await open({ reducedMotion: "reduce" });
  await flowing();
  assert.equal(await page.locator(".flow.on").first().evaluate((f) => getComputedStyle(f).animationName), "none");
  const asked = Date.now();
  await page.keyboard.press("/");
  await page.keyboard.press("Enter");
  await page.locator("#verdict >> text=udp dport 53 drop").waitFor();
  assert.ok(Date.now() - asked < 1000);
});
