#!/bin/bash
# attach.sh on KERNEL... DOCUMENT BPFTRACE...: boots each kernel (tests/vm), measures there how long every bpftrace takes to
# attach many probes and to end again, and writes the tables into DOCUMENT. The first BPFTRACE is the one of this project.
# attach.sh here FUNCTIONS BPFTRACE...: measures on this kernel; FUNCTIONS is a program with 10,000 functions f_1, f_2, ...
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATIENCE=${PATIENCE:-300} # seconds, for one of them to attach

# The beginning of a name that nearly so many functions of the kernel have.
prefix() { # COUNT
    awk -v wanted="$1" '
        NF == 1 { for (n = 1; n <= 4; n++) count[substr($1, 1, n)]++ }
        END {
            for (each in count) {
                far = count[each] > wanted ? count[each] - wanted : wanted - count[each]
                if (best == "" || far < least) { best = each; least = far }
            }
            print best
        }' /sys/kernel/tracing/available_filter_functions
}

# Waits until the kernel has let go of what an end did not wait for, and prints since when that took how many seconds.
settle() { # SINCE
    until ! grep -qsx probes-detach /proc/[0-9]*/comm; do sleep 0.1; done
    awk -v s="$1" -v e="$EPOCHREALTIME" 'BEGIN { if (e - s >= 1) printf " (the kernel: %.0f s)", e - s }'
}

# Prints `seconds to attach / seconds to end`.
measure() { # BPFTRACE PROGRAM
    local line pid start attached ended failed=
    rm -f pipe && mkfifo pipe
    start=$EPOCHREALTIME
    __BPFTRACE_NOTIFY_PROBES_ATTACHED=1 BPFTRACE_MAX_PROBES=1000000 BPFTRACE_MAX_BPF_PROGS=1000000 \
        "$1" -e "$2" >pipe 2>&1 &
    pid=$!
    exec 3<pipe
    attached=
    while read -r -t "$PATIENCE" line <&3; do
        case $line in
            *PROBES_ATTACHED*) attached=$EPOCHREALTIME && break ;;
            *ERROR* | *"Error"*) failed=yes && echo "$2: $line" >&2 ;;
        esac
    done
    if [ -z "$attached" ]; then
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        if [ -n "$failed" ]; then echo -n "fails"; else echo -n "more than $PATIENCE s"; fi
    else
        # What it prints at its end has to go somewhere.
        cat <&3 >/dev/null &
        kill -INT $pid
        wait $pid
        ended=$EPOCHREALTIME
        awk -v s="$start" -v a="$attached" -v e="$ended" 'BEGIN { printf "%.2f s / %.2f s", a - s, e - a }'
        settle "$attached"
    fi
    exec 3<&-
}

on_this_kernel() { # FUNCTIONS BPFTRACE...
    local functions=$1 each what program count
    shift
    cd "$(mktemp -d)" || exit 1
    ulimit -n 1000000
    mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing
    row() { # WHAT PROGRAM
        local each
        echo -n "| $1 |"
        for each in "${binaries[@]}"; do echo -n " $(measure "$each" "$2") |"; done
        echo
    }
    local -a binaries=("$@")
    echo "### Linux $(uname -r)"
    echo
    echo -n "| probes |"
    # Both call themselves bpftrace.
    echo -n " this one |"
    for each in "${@:2}"; do echo -n " $("$each" --version 2>/dev/null | head -1), in C++ |"; done
    echo
    printf '| ---%.0s ' $(seq $(($# + 1))) && echo "|"
    for count in ${COUNTS:-1000 10000 all}; do
        what=$([ "$count" = all ] || prefix "$count")'*'
        count=$(grep -c "^${what%\*}" /sys/kernel/tracing/available_filter_functions)
        row "\`kprobe:$what\`, $count functions" "kprobe:$what { @ = count(); }"
    done
    if [ "${FENTRY:-300}" != 0 ]; then
        what=$(prefix "${FENTRY:-300}")'*'
        count=$(grep -c "^${what%\*}" /sys/kernel/tracing/available_filter_functions)
        row "\`kfunc:$what\`, up to $count functions" "kfunc:$what { @ = count(); }"
    fi
    [ "${UPROBES:-1}" = 0 ] || row "\`uprobe:functions:f_*\`, $(nm "$functions" | grep -c ' f_') functions" "uprobe:$functions:f_* { @ = count(); }"
    echo
}

on_kernels() { # KERNEL... DOCUMENT BPFTRACE...
    local kernels=() document functions
    while [[ $1 == [0-9]* || $1 == newest ]]; do kernels+=("$1"); shift; done
    document=$1
    shift
    functions=$(mktemp -d)/functions
    for ((n = 1; n <= 10000; n++)); do echo "int f_$n(int x) { return x + $n; }"; done >"$functions.c"
    echo "int main(void) { return 0; }" >>"$functions.c"
    cc -O1 -o "$functions" "$functions.c" || exit 1
    for kernel in "${kernels[@]}"; do
        # Without kprobe_multi, each function is attached by itself: thousands only.
        case $kernel in 5.10 | 6.1) what="COUNTS=1000 FENTRY=0 UPROBES=0" ;; *) what= ;; esac
        "$here/../tests/vm/run" -t 5400 "$kernel" -- env PATIENCE="$PATIENCE" $what "$here/attach.sh" here "$functions" "$@" | grep -v '^== ' || exit
    done >"$functions.tables"
    {
        sed '/<!-- tables -->/q' "$document"
        cat "$functions.tables"
        sed -n '/<!-- end -->/,$p' "$document"
    } >"$functions.md"
    cat "$functions.md" >"$document"
    rm -rf "${functions%/*}"
    echo "$document is written"
}

case ${1-} in
    here) shift && on_this_kernel "$@" ;;
    on) shift && on_kernels "$@" ;;
    *) sed -nE 's/^# (attach.sh [^:]*):.*/usage: \1/p' "$0" >&2; exit 2 ;;
esac
