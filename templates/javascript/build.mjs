// Makes the component app.wasm of app.js and a JavaScript engine. (componentize-js also needs preview2-shim, which it
// does not say: so package.json does.)
import { componentize } from "@bytecodealliance/componentize-js";
import { rename, writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "app.js", witPath: "wit", worldName: "app" });
// Renamed when it is whole, so that nobody loads half of it.
await writeFile("app.wasm.new", component);
await rename("app.wasm.new", "app.wasm");
