//! What a WebAssembly file is, from its imports and exports alone. Knows wasmparser and nothing of ours,
//! so that it can be fuzzed by itself.
