# What a bpftrace that ends in the middle may leave in the kernel; the cases of killed.toml read this.

# Starts bpftrace with these arguments, as $tracer.
start() {
    : >out
    __BPFTRACE_NOTIFY_PROBES_ATTACHED=1 BPFTRACE_MAX_PROBES=1000000 "$BPFTRACE" "$@" >out 2>err &
    tracer=$!
}

attached() { grep -q PROBES_ATTACHED out; }

# Waits until a command succeeds, or the tracer has gone before.
tracer_until() {
    until "$@"; do
        kill -0 $tracer 2>/dev/null || { echo "bpftrace has ended:"; cat err; exit 1; }
        sleep 0.01
    done
}

# The programs, maps and links that the tracer holds, by the kernel's numbers: `prog 7 map 12 link 3`.
objects() { sed -nE 's/^(prog|map|link)_id:\s*([0-9]+)$/\1 \2/p' /proc/$tracer/fdinfo/* 2>/dev/null | sort -u | tr '\n' ' '; }
holds_programs() { [[ $(objects) == *prog* ]]; }

# Ends the tracer with this signal, and shows what of it is still in the kernel after a while.
end() { # SIGNAL
    local held
    held=$(objects)
    [[ $held == *prog* ]] || echo "there was nothing to leave behind"
    kill "-$1" $tracer
    wait $tracer 2>/dev/null
    status=$?
    "$WORKLOAD" gone $held || { echo "left by:"; cat err; }
}

# Attaches each of these programs and kills it.
kill_each() {
    local program
    for program in "$@"; do
        start -e "$program"
        tracer_until attached
        end KILL
        [ $status = 137 ] || echo "$program ended with $status"
    done
}
