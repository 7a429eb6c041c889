// USDT marks, as sys/sdt.h makes them but with the places of the arguments given as text, so that tests can have each form.
#pragma once

// A mark with these arguments ("-4@%edi 8@%rsi"); the operands are there for the text to name (%0, %1, …).
#define MARK(provider, name, semaphore, arguments, ...)                                                                \
    __asm__ volatile("990: nop\n"                                                                                      \
                     ".pushsection .note.stapsdt, \"?\", \"note\"\n"                                                   \
                     ".balign 4\n"                                                                                     \
                     ".4byte 992f-991f, 994f-993f, 3\n"                                                                \
                     "991: .asciz \"stapsdt\"\n"                                                                       \
                     "992: .balign 4\n"                                                                                \
                     "993: .8byte 990b, mark_base, " semaphore "\n"                                                    \
                     ".asciz \"" provider "\"\n"                                                                       \
                     ".asciz \"" name "\"\n"                                                                           \
                     ".asciz \"" arguments "\"\n"                                                                      \
                     "994: .balign 4\n"                                                                                \
                     ".popsection\n" ::__VA_ARGS__                                                                     \
                     : "memory")

// What tells of addresses that moved after linking. Tools look for the section, not for this name.
__asm__(".pushsection .stapsdt.base, \"a\", \"progbits\"\n"
        "mark_base: .space 1\n"
        ".popsection\n");

// Counts who listens to the marks that name it.
__attribute__((section(".probes"), used)) volatile unsigned short mark_listeners;

__attribute__((used)) int mark_counter = 77;
__attribute__((used)) static long mark_table[4] = {10, 20, 30, 40};

#if defined(__aarch64__)
#define X86_ONLY(...)
#else
#define X86_ONLY(...) __VA_ARGS__
#endif

// Every mark once: `number` is the first argument of most.
static void mark_all(int number)
{
    const char *text = "marked";
    short small = -2;
    unsigned char byte = 200;
    struct { int pad, value; } local = {0, number * 2};
    // Two places of one mark, with the number in different ones.
    MARK("work", "twice", "0", "-4@%0 8@%1", "r"(number), "r"(text));
    MARK("work", "twice", "0", "-4@%0 8@%1", "m"(local.value), "r"(text));
    MARK("work", "constants", "0", X86_ONLY("-4@$-5 4@$-5 -1@$255 8@$0x10") , "r"(number));
    MARK("work", "widths", "0", X86_ONLY("-2@%w0 2@%w0 1@%b1 -1@%b1"), "r"(small), "q"(byte));
    MARK("work", "listened", "mark_listeners", "2@%0", "r"(mark_listeners));
    MARK("other", "number", "0", "-4@%0", "r"(number));
    X86_ONLY(
        MARK("work", "indexed", "0", "8@8(%0,%1,8) -4@mark_counter(%%rip) 8f@%%xmm0 8@%0", "r"(mark_table), "r"(2L));
        MARK("work", "high", "0", "1@%%ah", "a"(0x4200));
    )
}
