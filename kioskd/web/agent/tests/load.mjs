// Bundles one module of the page for Node, and imports it.
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export async function load(name) {
  const entry = fileURLToPath(new URL(`../${name}.ts`, import.meta.url));
  const made = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
  const code = Buffer.from(made.outputFiles[0].contents).toString("base64");
  return import(`data:text/javascript;base64,${code}`);
}
