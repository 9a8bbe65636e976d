// A C program as Debian's clang and wasi-libc compile it: arguments, environment, a file, output, exit code.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *name = getenv("NAME");
    printf("hello from C, %s\n", name ? name : "nobody");
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
            return 2;
        }
        char buffer[4096];
        size_t count;
        while ((count = fread(buffer, 1, sizeof buffer, file)) > 0)
            fwrite(buffer, 1, count, stdout);
        fclose(file);
    }
    return 0;
}
