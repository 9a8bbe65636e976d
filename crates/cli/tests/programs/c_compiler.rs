//! clang 8 and its linker as guests, of preview 0: they compile a C program, which then runs.

use crate::{finish, mount, output, runno, sampan_run, unpack};
use sampan_testing::temp_dir;
use std::fs;

const PROGRAM: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv) {
    qsort(argv + 1, argc - 1, sizeof *argv, by_name);
    for (int i = 1; i < argc; i++) printf("%d %s\n", i, argv[i]);
    char line[80];
    while (fgets(line, sizeof line, stdin)) printf("read %s", line);
    fprintf(stderr, "%.3f\n", 22 / 7.0);
    return 142;
}
"#;

#[test]
fn clang_compiles_and_links_a_program_that_runs() {
    let Some(langs) = runno() else { return };
    let root = temp_dir();
    unpack(&langs.join("clang-fs.tar.gz"), root.path());
    let tool = |name: &str, args: &str| {
        let mut command = sampan_run([mount(root.path(), "/")]);
        command.arg(langs.join(name)).args(args.split_whitespace());
        command
    };
    let compile = "-cc1 -Werror -triple wasm32-unknown-wasi -isysroot /sys -internal-isystem /sys/include
        -internal-isystem /sys/lib/clang/8.0.1/include -O2 -emit-obj -o /program.o /program.c";
    let link = "--no-threads -z stack-size=1048576 -L/sys/lib/wasm32-wasi /sys/lib/wasm32-wasi/crt1.o
        /program.o -lc -o /program.wasm";

    fs::write(root.path().join("program.c"), "int main(void) { return missing; }").unwrap();
    let failed = finish(&mut tool("clang.wasm", compile), "");
    assert_eq!(failed.code, 1, "{failed:?}");
    let expected = "/program.c:1:25: error: use of undeclared identifier 'missing'";
    assert!(failed.stderr.contains(expected), "{failed:?}");
    assert!(!root.path().join("program.o").exists());

    fs::write(root.path().join("program.c"), PROGRAM).unwrap();
    assert_eq!(output(&mut tool("clang.wasm", compile), ""), "");
    assert_eq!(output(&mut tool("wasm-ld.wasm", link), ""), "");

    let mut program = sampan_run([""; 0]);
    let finished = finish(program.arg(root.path().join("program.wasm")).args(["stern", "bow"]), "hi\n");
    assert_eq!((finished.code, &*finished.stderr), (142, "3.143\n"), "{finished:?}");
    assert_eq!(finished.stdout, "1 bow\n2 stern\nread hi\n");
}
