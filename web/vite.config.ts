// SPDX-License-Identifier: Apache-2.0
// Builds the page as one file, page.html, which the command carries in itself. Its policy lets the
// browser run this script and style, talk to this server, and do nothing else.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const digest = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function oneFile(): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    apply: "build",
    generateBundle(_, bundle) {
      let script = "";
      let style = "";
      let html = "";
      for (const file of Object.values(bundle)) {
        if (file.type === "chunk") script += file.code.trim();
        else if (file.fileName.endsWith(".css")) style += String(file.source).trim();
        else if (file.fileName.endsWith(".html")) html = String(file.source);
      }
      const policy = `default-src 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; ` +
        `img-src data:; script-src ${digest(script)}; style-src ${digest(style)}`;
      html = html.replace(/\s*<(script|link)\b[^>]*(><\/script>|>)/g, "")
        .replace("<!--policy-->", `<meta http-equiv="Content-Security-Policy" content="${policy}">`)
        .replace("</head>", () => `<style>${style}</style>\n</head>`)
        .replace("</body>", () => `<script type="module">${script}</script>\n</body>`);
      writeFileSync("page.html", html.trimEnd() + "\n");
      for (const name of Object.keys(bundle)) delete bundle[name];
    },
  };
}

export default defineConfig({
  plugins: [oneFile()],
  build: { target: "es2022", modulePreload: false, assetsInlineLimit: 1 << 20, write: true },
  server: { proxy: { "/api": "http://127.0.0.1:9188" } },
});
