// Does nothing, for ever: as little as a program can hold.
#include <unistd.h>

int main(void) {
    for (;;)
        sleep(3600);
}
