// A program, and how it is made.

export class Program {
  constructor(_params: Map<string, string>) {}

  // 0: the request goes on; 1 to 9: what the filter's `results` say, else it ends here.
  run(): i32 {
    return 0
  }
}

let factory: (params: Map<string, string>) => Program = (params) => new Program(params)
let program: Program | null = null

export function registerProgramFactory(make: (params: Map<string, string>) => Program): void {
  factory = make
}

export function createProgram(params: Map<string, string>): void {
  program = factory(params)
}

export function runProgram(): i32 {
  return program!.run()
}
