complete -c bpftrace -s e -d 'Run this program; what follows are its parameters' -r
complete -c bpftrace -l probe-filter -d 'Run only the probes whose names match, and BEGIN and END' -r
complete -c bpftrace -s p -l pid -d 'Trace this process only, and end when it does' -r
complete -c bpftrace -s c -l cmd -d 'Run a command once all probes are attached, and end when it does' -r
complete -c bpftrace -l debuginfo -d 'Look for the debug information of programs in these directories first' -r -F
complete -c bpftrace -s o -l output -d 'Write output to a file instead of stdout' -r -F
complete -c bpftrace -s I -d 'Look for C headers in this directory' -r -F
complete -c bpftrace -l include -d 'Include this C header before the program' -r -F
complete -c bpftrace -l traceable-functions -d 'The kernel functions that can be traced, as in available_filter_functions' -r -F
complete -c bpftrace -l no-feature -d 'Do without kprobe_multi, kprobe_session, uprobe_multi, uprobe_session or fsession' -r
complete -c bpftrace -s d -l debug -d 'Show a stage: ast, ir, codegen, codegen-opt, libbpf, verifier or all; several with commas' -r
complete -c bpftrace -l emit-elf -d 'Write the BPF object to a file instead of running it' -r -F
complete -c bpftrace -l emit-llvm -d 'Write the LLVM IR to FILE.original.ll and FILE.optimized.ll' -r -F
complete -c bpftrace -l mode -d 'What to do with the program: codegen (compile only), test or bench' -r -f -a "codegen\t''
test\t''
bench\t''"
complete -c bpftrace -s f -d 'The form of output: text or json (one JSON object a line)' -r -f -a "text\t''
json\t''"
complete -c bpftrace -s B -d 'When output is written: line, full or none' -r -f -a "line\t''
full\t''
none\t''"
complete -c bpftrace -s l -l list -d 'List the probes that match a pattern or that a program has; -v adds their arguments'
complete -c bpftrace -l test -d 'Run the test: probes, one after the other'
complete -c bpftrace -l bench -d 'Measure the bench: probes'
complete -c bpftrace -l info -d 'Print what the kernel and this build support'
complete -c bpftrace -s V -l version -d 'Print the version'
complete -c bpftrace -s h -l help -d 'Print this help, or what is known about names: --help str kprobe'
complete -c bpftrace -l usdt-file-activation -d 'Accepted for old scripts: the kernel activates semaphores for every process that maps the file'
complete -c bpftrace -s q -l quiet -d 'Print only what the program prints'
complete -c bpftrace -s v -l verbose -d 'Say what is being done'
complete -c bpftrace -s k -l warnings -d 'Warn when reading memory or updating a map fails while the program runs'
complete -c bpftrace -l no-warnings -d 'Print no warnings'
complete -c bpftrace -l unsafe -d 'Allow what can change or stop the system, such as system()'
complete -c bpftrace -l fix-renames -d 'Where a kernel function has another name in this kernel, probe that one'
complete -c bpftrace -l dry-run -d 'Attach the probes, then leave'
complete -c bpftrace -l verify-llvm-ir -d 'Check the generated LLVM IR'
complete -c bpftrace -s b -l btf -d 'Accepted for old scripts: BTF is always used'
