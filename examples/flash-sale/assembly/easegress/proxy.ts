// What Easegress calls: https://github.com/megaease/easegress, pkg/filters/wasmhost/vm.go.
import { listFrom } from './memory'
import { createProgram, runProgram } from './program'

export function wasm_alloc(size: i32): usize {
  return heap.alloc(size)
}

export function wasm_free(at: usize): void {
  heap.free(at)
}

export function wasm_init(at: usize): void {
  const texts = listFrom(at)
  const params = new Map<string, string>()
  for (let i = 0; i + 1 < texts.length; i += 2) params.set(texts[i], texts[i + 1])
  createProgram(params)
}

export function wasm_run(): i32 {
  return runProgram()
}
