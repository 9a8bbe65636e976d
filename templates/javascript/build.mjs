// Makes the component app.wasm of app.js and a JavaScript engine.
import { componentize } from "@bytecodealliance/componentize-js";
import { rename, writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "app.js", witPath: "wit", worldName: "app" });
// Renamed when it is whole, so that nobody loads half of it.
await writeFile("app.wasm.new", component);
await rename("app.wasm.new", "app.wasm");
