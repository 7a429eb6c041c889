// What the program tests trace: `workload VERB ARGUMENT…` does one small, countable thing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "marks.h"

#define KEEP __attribute__((noipa, used))

struct point {
    int x, y;
};

struct record {
    int32_t id;
    char name[16];
    struct point at;
    struct record *next;
    uint32_t mode : 5, kind : 3;
    union {
        uint64_t word;
        uint8_t bytes[8];
    } payload;
    int16_t scores[4];
};

KEEP int work_add(int a, int b)
{
    return a + b;
}

KEEP long work_many(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j)
{
    return a + b + c + d + e + f + g + h + i + j;
}

KEEP const char *work_greet(const char *name)
{
    return name;
}

KEEP int work_record(struct record *record)
{
    return record->id + record->next->id;
}

KEEP int work_leaf(int depth)
{
    return depth;
}

// work::deep(int), as a C++ compiler would name it.
int work_mangled(int depth) __asm__("_ZN4work4deepEi");

KEEP int work_mangled(int depth)
{
    return depth;
}

// Not a tail call, so that every level has its frame.
KEEP int work_nest(int depth)
{
    int below = depth > 1 ? work_nest(depth - 1) : work_leaf(depth);
    return below + 1;
}

static int reads(long times, const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 1;
    for (long i = 0; i < times; i++)
        if (read(fd, &byte, 1) != 1)
            return 1;
    return 0;
}

static int writes(long times, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0)
        return 1;
    for (long i = 0; i < times; i++)
        if (write(fd, "x", 1) != 1)
            return 1;
    return 0;
}

__attribute__((aligned(8))) volatile long work_watched = 1;

// Writes a variable so often, and reads it twice as often.
static int touches(long times)
{
    long sum = 0;
    for (long i = 0; i < times; i++) {
        work_watched = i;
        sum += work_watched + work_watched;
    }
    return sum < 0;
}

// For so many milliseconds on a machine of its own, and longer where everything takes longer.
static int stay(long ms)
{
    const char *slowness = getenv("SLOWNESS");
    return usleep(ms * 1000 * (slowness ? atol(slowness) : 1));
}

// Calls every work_ function, then stays for so many milliseconds, for its addresses to be resolved.
static int calls(long times, long ms)
{
    static struct record second = {.id = 2, .name = "second"};
    static struct record first = {
        .id = -7, .name = "first", .at = {3, -4}, .next = &second, .mode = 21, .kind = 5,
        .payload.word = 0x0807060504030201, .scores = {10, -20, 30, -40},
    };
    volatile long sum = 0;
    for (long i = 0; i < times; i++) {
        sum += work_add((int)i, -3);
        sum += work_many(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
        sum += *work_greet("hello from user space");
        sum += work_record(&first);
        sum += work_nest(3);
        sum += work_mangled(1);
    }
    return stay(ms);
}

// Uses so many milliseconds of a CPU, however many others want it.
static int spin(long ms)
{
    struct timespec now, start;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    do {
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms);
    return 0;
}

// Waits until the kernel has none of these objects any more ("prog", "12", "link", "3"); says which stay.
static int gone(int count, char **objects)
{
    int left = 0;
    for (int i = 0; i + 1 < count; i += 2) {
        int command = !strcmp(objects[i], "prog")  ? BPF_PROG_GET_FD_BY_ID
                      : !strcmp(objects[i], "map") ? BPF_MAP_GET_FD_BY_ID
                                                   : BPF_LINK_GET_FD_BY_ID;
        union bpf_attr attr = {.prog_id = (unsigned)atol(objects[i + 1])};
        // They are freed once nobody on any CPU can be using them. All wait for the same moments.
        for (int waited = 0;; waited++) {
            int fd = (int)syscall(SYS_bpf, command, &attr, sizeof attr);
            if (fd < 0 && errno == ENOENT)
                break;
            close(fd);
            if (waited == 3000) {
                printf("%s %s is still there\n", objects[i], objects[i + 1]);
                left = 1;
                break;
            }
            stay(10);
        }
    }
    return left;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    long times = argc > 2 ? atol(argv[2]) : 1;
    if (!strcmp(verb, "reads"))
        return reads(times, argc > 3 ? argv[3] : "/dev/zero");
    if (!strcmp(verb, "writes"))
        return writes(times, argc > 3 ? argv[3] : "/dev/null");
    if (!strcmp(verb, "calls"))
        return calls(times, argc > 3 ? atol(argv[3]) : 0);
    if (!strcmp(verb, "touches"))
        return touches(times);
    if (!strcmp(verb, "long")) {
        // A string of so many characters.
        char *text = malloc((size_t)times + 1);
        if (!text)
            return 1;
        memset(text, 'x', (size_t)times);
        text[times] = 0;
        work_greet(text);
        return 0;
    }
    if (!strcmp(verb, "spin"))
        return spin(times);
    if (!strcmp(verb, "sleep"))
        return usleep(times * 1000);
    if (!strcmp(verb, "marks")) {
        for (long i = 1; i <= times; i++)
            mark_all((int)i);
        return argc > 3 ? stay(atol(argv[3])) : 0;
    }
    if (!strcmp(verb, "gone"))
        return gone(argc - 2, argv + 2);
    if (!strcmp(verb, "exit"))
        return (int)times;
    if (!strcmp(verb, "opens")) {
        // Whether it is there does not matter, only that it was asked for.
        for (int i = 2; i < argc; i++) {
            int fd = open(argv[i], O_RDONLY);
            if (fd >= 0)
                close(fd);
        }
        return 0;
    }
    fprintf(stderr, "usage: workload reads|writes N [FILE] | calls N [MS] | long N | marks N [MS] | touches N | spin MS | sleep MS | exit CODE | gone KIND ID... | opens FILE...\n");
    return 2;
}
