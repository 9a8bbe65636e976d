// Makes app.wasm of app.js.
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "app.js", witPath: "wit", worldName: "app" });
await writeFile("app.wasm", component);
