//! Network addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Builtin, Kind, optional, required};
use crate::check::{Call, Checked, Stop, Value, build, characters};
use crate::diagnostics::Diagnostic;
use crate::ir::{Expr, ExprKind};
use crate::types::{Int, Type, layout};

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
];

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
            Diagnostic::error("argument-type", span, "ntop() argument must be 4 or 16 bytes in size")
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
            format!("pton() expects a valid IPv4/IPv6 address, got {text}"),
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
                    Diagnostic::error(
                        "argument-type",
                        at,
                        "macaddr() argument must be at least 6 bytes in size",
                    )
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
