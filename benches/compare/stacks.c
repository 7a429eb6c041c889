/* Makes a system call from as many different stacks as it is told, then waits until its input ends, so that its
   symbols can be read. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile unsigned returned;

static void even(unsigned path, unsigned depth);
static void odd(unsigned path, unsigned depth);

/* Each bit of the path says which of the two functions is called. */
static void follow(unsigned path, unsigned depth)
{
    if (depth == 0)
        syscall(SYS_getppid);
    else if (path & 1)
        odd(path >> 1, depth - 1);
    else
        even(path >> 1, depth - 1);
    returned++;
}

__attribute__((noinline)) static void even(unsigned path, unsigned depth)
{
    follow(path, depth);
    returned += 2;
}

__attribute__((noinline)) static void odd(unsigned path, unsigned depth)
{
    follow(path, depth);
    returned += 3;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? atoi(argv[1]) : 0;
    for (unsigned n = 0; n < count; n++)
        even(n, 14);
    puts("done");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
