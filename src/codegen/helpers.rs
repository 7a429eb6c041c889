//! Numbers of the BPF helpers that code generation itself calls: `enum bpf_func_id` of `linux/bpf.h`.

pub(super) mod id {
    pub(in crate::codegen) const MAP_LOOKUP: u32 = 1;
    pub(in crate::codegen) const MAP_UPDATE: u32 = 2;
    pub(in crate::codegen) const MAP_DELETE: u32 = 3;
    pub(in crate::codegen) const SMP_PROCESSOR_ID: u32 = 8;
    pub(in crate::codegen) const CURRENT_PID_TGID: u32 = 14;
    pub(in crate::codegen) const NS_PID_TGID: u32 = 120;
    pub(in crate::codegen) const GET_STACK: u32 = 67;
    pub(in crate::codegen) const SKB_OUTPUT: u32 = 111;
    pub(in crate::codegen) const PROBE_READ_USER: u32 = 112;
    pub(in crate::codegen) const PROBE_READ_KERNEL: u32 = 113;
    pub(in crate::codegen) const PROBE_READ_USER_STR: u32 = 114;
    pub(in crate::codegen) const PROBE_READ_KERNEL_STR: u32 = 115;
    pub(in crate::codegen) const SEQ_PRINTF: u32 = 126;
    pub(in crate::codegen) const SEQ_WRITE: u32 = 127;
    pub(in crate::codegen) const RINGBUF_OUTPUT: u32 = 130;
    pub(in crate::codegen) const RINGBUF_RESERVE: u32 = 131;
    pub(in crate::codegen) const RINGBUF_SUBMIT: u32 = 132;
    pub(in crate::codegen) const D_PATH: u32 = 147;
    pub(in crate::codegen) const PER_CPU_PTR: u32 = 153;
    pub(in crate::codegen) const THIS_CPU_PTR: u32 = 154;
    pub(in crate::codegen) const FOR_EACH_MAP_ELEM: u32 = 164;
    pub(in crate::codegen) const ATTACH_COOKIE: u32 = 174;
    pub(in crate::codegen) const LOOP: u32 = 181;
    pub(in crate::codegen) const MAP_LOOKUP_PERCPU: u32 = 195;
}

/// Whether a helper yields the same each time that it is called in one run of a program, and does nothing else: LLVM
/// then makes one call of several.
pub(super) fn is_constant(number: u32) -> bool {
    const CURRENT_UID_GID: u32 = 15;
    const CURRENT_TASK: u32 = 35;
    const NUMA_NODE_ID: u32 = 42;
    const FUNC_IP: u32 = 173;
    matches!(
        number,
        id::SMP_PROCESSOR_ID
            | id::CURRENT_PID_TGID
            | CURRENT_UID_GID
            | CURRENT_TASK
            | NUMA_NODE_ID
            | FUNC_IP
            | id::ATTACH_COOKIE
    )
}

/// `BPF_NOEXIST`: insert only.
pub(super) const NOEXIST: u64 = 1;
/// `BPF_F_CURRENT_CPU`: the buffer of the CPU that the program runs on.
pub(super) const CURRENT_CPU: u64 = 0xffff_ffff;
/// `BPF_F_USER_STACK` of `bpf_get_stack`.
pub(super) const USER_STACK: u64 = 1 << 8;

/// The helper's name, for messages.
pub(super) fn name(number: u32) -> String {
    match number {
        id::MAP_UPDATE => "map_update_elem".into(),
        id::MAP_LOOKUP => "map_lookup_elem".into(),
        id::MAP_DELETE => "map_delete_elem".into(),
        id::GET_STACK => "get_stack".into(),
        id::PROBE_READ_USER => "probe_read_user".into(),
        id::PROBE_READ_KERNEL => "probe_read_kernel".into(),
        id::PROBE_READ_USER_STR => "probe_read_user_str".into(),
        id::PROBE_READ_KERNEL_STR => "probe_read_kernel_str".into(),
        16 => "get_current_comm".into(),
        109 => "send_signal".into(),
        id::NS_PID_TGID => "get_ns_current_pid_tgid".into(),
        id::D_PATH => "d_path".into(),
        other => format!("helper {other}"),
    }
}

/// Where, among its arguments, a helper that fills memory takes the address and the size.
pub(super) fn fill_position(number: u32) -> usize {
    match number {
        // bpf_perf_prog_read_value(ctx, to, size), bpf_read_branch_records(ctx, to, size, flags)
        56 | 119 => 1,
        _ => 0,
    }
}
