// Bundles each page into dist/PAGE: its HTML, one script, one style sheet.
import { cp, mkdir, rm } from "node:fs/promises";
import { build } from "esbuild";

const pages = ["screen", "agent"];

await rm("dist", { recursive: true, force: true });
for (const page of pages) {
  await mkdir(`dist/${page}`, { recursive: true });
  await build({
    entryPoints: [`${page}/main.ts`, `${page}/style.css`],
    outdir: `dist/${page}`,
    bundle: true,
    minify: true,
    sourcemap: true,
    format: "esm",
    target: "es2022",
    loader: { ".svg": "text" },
    logLevel: "warning",
  });
  await cp(`${page}/index.html`, `dist/${page}/index.html`);
}
console.log(`web pages built: ${pages.join(", ")}`);
