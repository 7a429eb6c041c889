//! Network addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Stop, Value, build, characters};
use crate::diagnostics::Diagnostic;
use crate::image::{EventKind, PACKET_BYTES};
use crate::ir::{Expr, ExprKind, PlaceKind};
use crate::kernel::Feature;
use crate::types::{Int, Space, Type, layout};

/// Of the kernel's `include/linux/socket.h`.
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

const MAC_SIZE: u32 = 6;

pub const TABLE: &[Builtin] = &[
    Builtin::function(
        "ntop",
        &[required("family or address", Kind::Any), optional("address", Kind::Any)],
        "inet",
        "An IPv4 or IPv6 address, as text",
        ntop,
    )
    .doc("`ntop(family, address)` or `ntop(address)`: an integer or four bytes are IPv4, 16 bytes are IPv6."),
    Builtin::function(
        "pton",
        &[required("address", Kind::Text)],
        "uint8[4] or uint8[16]",
        "The bytes of an IPv4 or IPv6 address",
        pton,
    ),
    Builtin::function(
        "macaddr",
        &[required("address", Kind::Any)],
        "macaddr_t",
        "The six bytes at an address as a hardware address",
        macaddr,
    ),
    Builtin::function(
        "socket_cookie",
        &[required("sock", Kind::Any)],
        "uint64",
        "The number that the kernel knows a socket by as long as it exists",
        socket_cookie,
    )
    .doc(
        "A socket gets its number when somebody first asks for it, as `SO_COOKIE` and programs of networks do. In fentry \
         and fexit, of an argument of the probe, this asks; elsewhere it reads the number, which is 0 until then.",
    ),
    Builtin::function(
        "skboutput",
        &[
            required("path", Kind::Text),
            required("skb", Kind::Any),
            required("length", Kind::Int),
            required("offset", Kind::Number),
        ],
        "int32",
        "Adds a packet to a file that tcpdump(8) and Wireshark read",
        skboutput,
    )
    .only(&["fentry", "fexit", "rawtracepoint"])
    .doc(
        "Of the first `length` bytes of the packet's data those from `offset` on. The file is a pcap file of raw IP, so \
         that the data has to begin there with the header of IPv4 or IPv6: an `offset` of 14 leaves out one of Ethernet, \
         which there is where packets are sent (`__dev_queue_xmit`), but not where they are received (`ip_rcv`). Times are \
         those of the wall clock. A packet that is longer than what is written is marked so; more than 65472 bytes of one \
         are never written.\n\n\
         The file is made anew when tracing begins, `-` is the standard output. The value is 0 or a negative error: -14 \
         (`EFAULT`) if the packet is shorter than `length`, -28 (`ENOSPC`) if there was no room for it; that is also \
         counted as a lost event; -2 (`ENOENT`) on a CPU that was switched on after tracing began. `BPFTRACE_PERF_RB_PAGES` makes more room.\n\n\
         The kernel writes only packets that it hands to the probe itself: an argument, or what is returned, but not what \
         a field points to.",
    ),
];

/// The largest `offset` of `skboutput`: no packet is longer.
const LARGEST_SKIP: i128 = u32::MAX as i128;

fn ntop(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let both = call.has(1);
    let address_index = usize::from(both);
    let address = characters(call.value(address_index)?);
    let ty = address.ty().clone();
    let size = match &ty {
        Type::Int(_) => 4,
        Type::Array { .. } | Type::Str(_) => call.check.size_of(&ty),
        _ => {
            let (found, span) = (call.check.spell(&ty), call.arg_span(address_index));
            return call.check.error(
                "argument-type",
                span,
                format!("ntop() expects an integer or array argument, got {found}"),
            );
        }
    };
    if size != 4 && size != 16 {
        let span = call.arg_span(address_index);
        return call.check.fail(
            Diagnostic::error(
                "argument-type",
                span,
                "ntop() takes an address of 4 bytes (IPv4) or 16 (IPv6)",
            )
            .note(format!("this has {size}")),
        );
    }
    let family = if both {
        let family = call.value(0)?;
        let found = family.ty().clone();
        match call.check.number(family) {
            Ok(family) => build::cast(family.expr, Type::U32),
            Err(_) => {
                let (found, span) = (call.check.spell(&found), call.arg_span(0));
                return call.check.error(
                    "argument-type",
                    span,
                    format!("ntop() only supports integer arguments ({found} provided)"),
                );
            }
        }
    } else {
        build::constant(if size == 4 { AF_INET } else { AF_INET6 }, Type::U32, call.span)
    };
    let address = match ty {
        Type::Int(_) => build::cast(address.expr, Type::U32),
        _ => bytes(address.expr, size),
    };
    let parts = vec![(0, family), (layout::INET_ADDRESS, address)];
    Ok(Value::new(build::expr(ExprKind::Pack(parts), Type::Inet, call.span)))
}

/// The first bytes of a value as an array of that many: read as that where it lies in memory.
fn bytes(value: Expr, count: u32) -> Expr {
    as_type(value, Type::Array { elem: Box::new(Type::Int(Int::U8)), len: count })
}

fn as_type(value: Expr, ty: Type) -> Expr {
    match value.kind {
        ExprKind::Load(mut place) => {
            place.ty = ty;
            build::load(*place)
        }
        kind => build::reinterpret(Expr { kind, ..value }, ty),
    }
}

fn pton(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let text = call.text(0).unwrap_or_default();
    let span = call.span;
    let array = |len| Type::Array { elem: Box::new(Type::Int(Int::U8)), len };
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        let number = u64::from(u32::from_ne_bytes(address.octets()));
        return Ok(Value::new(build::reinterpret(build::constant(number, Type::U32, span), array(4))));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        let (low, high) =
            address.octets().split_first_chunk::<8>().map_or(([0; 8], [0; 8]), |(low, rest)| {
                let mut high = [0; 8];
                high.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                (*low, high)
            });
        let half = |bytes| build::constant(u64::from_ne_bytes(bytes), Type::U64, span);
        let parts = vec![(0, half(low)), (8, half(high))];
        return Ok(Value::new(build::expr(ExprKind::Pack(parts), array(16), span)));
    }
    let at = call.arg_span(0);
    call.check.fail(
        Diagnostic::error(
            "invalid-address",
            at,
            format!("pton() cannot read {text} as an IPv4 or IPv6 address"),
        )
        .help("such as \"127.0.0.1\" or \"::1\""),
    )
}

fn macaddr(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let address = characters(call.value(0)?);
    let (ty, at) = (address.ty().clone(), call.arg_span(0));
    if address.text().is_some() {
        return call.check.error("argument-type", at, "macaddr() does not support literal string arguments");
    }
    match &ty {
        Type::Array { .. } | Type::Str(_) => {
            let size = call.check.size_of(&ty);
            if size < MAC_SIZE {
                return call.check.fail(
                    Diagnostic::error("argument-type", at, "macaddr() takes the 6 bytes of an address")
                        .note(format!("this has {size}")),
                );
            }
            let mac = as_type(address.expr, Type::Mac);
            Ok(Value::new(Expr { span: call.span, ..mac }))
        }
        Type::Ptr { .. } | Type::Int(_) => {
            let (address, space) = super::strings::memory(call, address).ok_or(Stop::Reported)?;
            let pointer = build::cast(address, Type::ptr(Type::Mac, space));
            Ok(Value::new(build::load(build::deref(pointer, Type::Mac, space, call.span))))
        }
        other => {
            let found = call.check.spell(other);
            call.check.error(
                "argument-type",
                at,
                format!("macaddr() only supports array or pointer arguments ({found} provided)"),
            )
        }
    }
}

/// The types that the kernel knows to be sockets: `BTF_SOCK_TYPE_xxx` of its `include/linux/btf_ids.h`.
const SOCKETS: &[&str] = &[
    "inet_sock",
    "inet_connection_sock",
    "request_sock",
    "inet_timewait_sock",
    "sock",
    "sock_common",
    "tcp_sock",
    "tcp_request_sock",
    "tcp_timewait_sock",
    "tcp6_sock",
    "udp_sock",
    "udp6_sock",
    "unix_sock",
];

fn socket_cookie(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let socket = call.value(0)?;
    let span = call.span;
    let name = match socket.ty() {
        Type::Ptr { to, .. } => match &**to {
            Type::Struct(id) => call.check.host.types.structure(*id).map(|s| s.name.clone()),
            _ => None,
        },
        _ => None,
    };
    let Some(name) = name else {
        let (found, at) = (call.check.spell(socket.ty()), call.arg_span(0));
        return call.check.fail(
            Diagnostic::error(
                "argument-type",
                at,
                format!("socket_cookie() only supports pointer to struct sock arguments ({found} provided)"),
            )
            .help("cast it: (struct sock *)…"),
        );
    };
    let argument = matches!(
        &socket.expr.kind,
        ExprKind::Load(place) if matches!(place.kind, PlaceKind::Context { .. })
    );
    let trusted = matches!(call.check.provider(), "fentry" | "fexit")
        && argument
        && SOCKETS.contains(&name.as_str())
        // The helper came to these programs with the same release, 5.12.
        && call.check.host.kernel.has(Feature::AtomicFetch);
    if trusted {
        let socket = build::cast(socket.expr, Type::U64);
        return Ok(call.helper(libbpf_sys::BPF_FUNC_get_socket_cookie, vec![socket], Type::U64));
    }
    let tag = Some(crate::syntax::ast::Tag::Struct);
    let Some(common) = call.check.host.types.find(tag, "sock_common") else {
        return call.fail("no-kernel-types", "socket_cookie() needs the kernel's type information (BTF)");
    };
    // Every socket begins with it.
    let socket = build::cast(build::cast(socket.expr, Type::U64), Type::ptr(common, Space::Kernel));
    let cookie = call.check.field(Value::new(socket), "skc_cookie", span, span)?;
    let number = call.check.field(cookie, "counter", span, span)?;
    Ok(Value::new(build::cast(number.expr, Type::U64)))
}

fn skboutput(call: &mut Call<'_, '_, '_>) -> Checked<Value> {
    let path = call.text(0).unwrap_or_default();
    let packet = call.value(1)?;
    let length = build::cast(call.value(2)?.expr, Type::U64);
    let offset = call.number(3).unwrap_or_default();
    let span = call.span;
    if path.is_empty() {
        let at = call.arg_span(0);
        return call.check.error("argument-type", at, "skboutput() expects the name of a file");
    }
    let Some(skip) = u32::try_from(offset).ok() else {
        let at = call.arg_span(3);
        let message = format!("skboutput() takes an offset from 0 to {LARGEST_SKIP} ({offset} provided)");
        return call.check.error("argument-type", at, message);
    };
    let is_packet = match packet.ty() {
        Type::Ptr { to, .. } => match &**to {
            Type::Struct(id) => {
                let name = call.check.host.types.structure(*id).map(|s| s.name.clone());
                name.is_none_or(|name| matches!(name.as_str(), "sk_buff" | "__sk_buff"))
            }
            Type::Void => true,
            _ => false,
        },
        _ => false,
    };
    if !is_packet {
        let (found, at) = (call.check.spell(packet.ty()), call.arg_span(1));
        let message =
            format!("skboutput() only supports pointer to struct sk_buff arguments ({found} provided)");
        return call.check.fail(
            Diagnostic::error("argument-type", at, message)
                .help("if it is one, cast it: (struct sk_buff *)…"),
        );
    }
    let Some(packet) = handed_over(&packet.expr).cloned() else {
        let at = call.arg_span(1);
        return call.check.fail(
            Diagnostic::error(
                "argument-type",
                at,
                "skboutput() takes a packet that the kernel hands to the probe",
            )
            .note("this one is read from memory, where the kernel cannot know that it is a packet")
            .help(
                "find a function or a raw tracepoint that has it as an argument: bpftrace -lv 'fentry:*skb*'",
            ),
        );
    };
    let tag = Some(crate::syntax::ast::Tag::Struct);
    let Some(ty) = call.check.host.types.find(tag, "sk_buff") else {
        return call.fail("no-kernel-types", "skboutput() needs the kernel's type information (BTF)");
    };
    let header = build::cast(build::cast(packet.clone(), Type::U64), Type::ptr(ty, Space::Kernel));
    let whole = call.check.field(Value::new(header), "len", span, span)?;
    let time = call.helper(libbpf_sys::BPF_FUNC_ktime_get_boot_ns, vec![], Type::U64);
    let head = vec![time.expr, build::cast(whole.expr, Type::U32)];
    let types = vec![Type::U64, Type::U32, Type::Buf(PACKET_BYTES)];
    let event = call.check.event(EventKind::Packet { path, skip }, types, span);
    let (packet, length) = (Box::new(packet), Box::new(length));
    let output = ExprKind::SkbOutput { event, packet, length, head };
    Ok(Value::new(build::expr(output, Type::I32, span)))
}

/// A pointer without the types that the script has given it, if it is one that the verifier may still know: something
/// that the probe is given, or a variable, which may hold that.
fn handed_over(pointer: &Expr) -> Option<&Expr> {
    match &pointer.kind {
        ExprKind::Cast(from) | ExprKind::Reinterpret(from) => handed_over(from),
        ExprKind::Load(place) => matches!(place.kind, PlaceKind::Context { .. }).then_some(pointer),
        ExprKind::Var(_) => Some(pointer),
        _ => None,
    }
}
