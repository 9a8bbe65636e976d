// Makes the component dice.wasm of dice.js and a JavaScript engine.
import { componentize } from "@bytecodealliance/componentize-js";
import { rename, writeFile } from "node:fs/promises";

const { component } = await componentize({ sourcePath: "dice.js", witPath: "wit", worldName: "app" });
// Renamed when it is whole, so that nobody loads half of it.
await writeFile("dice.wasm.new", component);
await rename("dice.wasm.new", "dice.wasm");
