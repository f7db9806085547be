// Parses every Mermaid diagram below a folder with the Mermaid that the site has: a browser would show a broken one as its text.
//
//     node scripts/site/check_diagrams.mjs build/site-assets/mermaid.min.js docs
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";

// Mermaid cleans labels with a library that wants to see a browser; this is as much of one as it looks for, and then
// it leaves labels as they are.
class Element {}
globalThis.document = { nodeType: 9, addEventListener() {}, createElement: () => ({}) };
globalThis.window = { document, Element, addEventListener() {} };

const [script, folder] = process.argv.slice(2);
vm.runInThisContext(fs.readFileSync(script, "utf8"), script);
const { mermaid } = globalThis;

let count = 0;
let broken = 0;
for (const name of fs.readdirSync(folder, { recursive: true }).sort()) {
  if (!name.endsWith(".md")) continue;
  const text = fs.readFileSync(path.join(folder, name), "utf8");
  for (const [, diagram] of text.matchAll(/^```mermaid\n(.*?)^```/gms)) {
    count += 1;
    try {
      await mermaid.parse(diagram);
    } catch (error) {
      broken += 1;
      console.error(`${name}: ${diagram.split("\n", 1)[0]}: ${error.message}`);
    }
  }
}
console.log(`site: ${count} diagrams, ${broken} broken`);
process.exit(broken ? 1 : 0);
