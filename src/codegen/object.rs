//! What all programs of an object share: maps, numbers that the loader sets, constant bytes, and what the manifest
//! says of them.

use std::collections::BTreeMap;

use inkwell::module::Linkage;
use inkwell::values::{BasicValue, BasicValueEnum, FunctionValue, GlobalValue, PointerValue};

use super::llvm::{Llvm, Result};
use super::{Error, Settings};
use crate::image::{self, Counter, Event, EventId, EventKind, Global, MapId, MapKind, Ring};
use crate::ir;
use crate::kernel::Feature;
use crate::types::layout::size_of;
use crate::types::{Layouts, Type};

/// `enum bpf_map_type` of `linux/bpf.h`.
mod map_type {
    pub(super) const HASH: u32 = 1;
    pub(super) const ARRAY: u32 = 2;
    pub(super) const PERF_EVENT_ARRAY: u32 = 4;
    pub(super) const PERCPU_HASH: u32 = 5;
    pub(super) const PERCPU_ARRAY: u32 = 6;
    pub(super) const LRU_HASH: u32 = 9;
    pub(super) const LRU_PERCPU_HASH: u32 = 10;
    pub(super) const RINGBUF: u32 = 27;
}

/// `BPF_F_NO_PREALLOC`: elements are allocated as they are inserted.
const NO_PREALLOC: u32 = 1;
/// What is written in the object; the loader sets the size that the machine and the script want.
const RING_BYTES: u32 = 256 * 1024;
/// How much memory a stack map may take when full.
const STACK_MAP_BYTES: u32 = 16 << 20;

/// A script's map in the object.
#[derive(Clone, Copy)]
pub(super) struct ScriptMap<'c> {
    pub(super) pointer: PointerValue<'c>,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
}

pub(super) struct Object<'c> {
    maps: Vec<ScriptMap<'c>>,
    counters: Option<PointerValue<'c>>,
    ring: Option<(PointerValue<'c>, Ring)>,
    packets: Option<PointerValue<'c>>,
    scratch: Option<(GlobalValue<'c>, PointerValue<'c>)>,
    stacks: BTreeMap<u32, PointerValue<'c>>,
    globals: BTreeMap<Global, PointerValue<'c>>,
    bytes: BTreeMap<Vec<u8>, PointerValue<'c>>,
    /// Zeros, as many as the largest value that is inserted empty.
    zeros: Option<GlobalValue<'c>>,
    zeros_size: u32,
    pub(super) events: Vec<Event>,
    /// Stand for the number of scratch slots, which is known at the end.
    pub(super) slot_counts: Vec<BasicValueEnum<'c>>,
    /// The callback that counts a map's keys.
    pub(super) count_callback: Option<FunctionValue<'c>>,
    /// The function that adds one to a counter.
    pub(super) bump_function: Option<FunctionValue<'c>>,
    pub(super) scratch_size: u32,
    /// How many programs have a slot of their own, from number 1. The others share number 0.
    own_slots: u32,
}

impl<'c> Object<'c> {
    pub(super) fn new(ll: &Llvm<'c>, program: &ir::Program, settings: &Settings<'_>) -> Result<Object<'c>> {
        let maps = program
            .maps
            .iter()
            .map(|map| script_map(ll, map, &program.layouts, settings))
            .collect::<Result<_>>()?;
        Ok(Object {
            maps,
            counters: None,
            ring: None,
            packets: None,
            scratch: None,
            stacks: BTreeMap::new(),
            globals: BTreeMap::new(),
            bytes: BTreeMap::new(),
            zeros: None,
            zeros_size: 0,
            events: program.events.clone(),
            slot_counts: vec![],
            count_callback: None,
            bump_function: None,
            scratch_size: 0,
            own_slots: 0,
        })
    }

    pub(super) fn map(&self, id: MapId) -> Result<ScriptMap<'c>> {
        self.maps
            .get(id.0 as usize)
            .copied()
            .ok_or_else(|| Error::Internal(format!("there is no map {}", id.0)))
    }

    /// The counters: see [`Counter`].
    pub(super) fn counters(&mut self, ll: &Llvm<'c>) -> Result<PointerValue<'c>> {
        if let Some(map) = self.counters {
            return Ok(map);
        }
        let count = Counter::Maps as u32 + u32::try_from(self.maps.len()).unwrap_or(u32::MAX / 2);
        let types = [("key", ll.debug.bytes(4)?), ("value", ll.debug.bytes(8)?)];
        let map = add_map(ll, image::COUNTERS, map_type::ARRAY, count, 0, &types)?.as_pointer_value();
        self.counters = Some(map);
        Ok(map)
    }

    /// The ring buffer, made large if any of its users asks for that.
    pub(super) fn ring(&mut self, ll: &Llvm<'c>, size: Ring) -> Result<PointerValue<'c>> {
        let map = match self.ring {
            Some((map, before)) => {
                let large = before == Ring::Large || size == Ring::Large;
                self.ring = Some((map, if large { Ring::Large } else { Ring::Small }));
                map
            }
            None => {
                let ty = map_type::RINGBUF;
                let map = add_map(ll, image::RING_BUFFER, ty, RING_BYTES, 0, &[])?.as_pointer_value();
                self.ring = Some((map, size));
                map
            }
        };
        Ok(map)
    }

    /// The buffers for packets, as many as there are CPUs.
    pub(super) fn packets(&mut self, ll: &Llvm<'c>) -> Result<PointerValue<'c>> {
        if let Some(map) = self.packets {
            return Ok(map);
        }
        let types = [("key", ll.debug.bytes(4)?), ("value", ll.debug.bytes(4)?)];
        // Of none, libbpf makes the machine's number.
        let map = add_map(ll, image::PACKETS, map_type::PERF_EVENT_ARRAY, 0, 0, &types)?.as_pointer_value();
        self.packets = Some(map);
        Ok(map)
    }

    /// The scratch memory. Its size is known once all programs are made.
    pub(super) fn scratch(&mut self, ll: &Llvm<'c>) -> PointerValue<'c> {
        let (_, pointer) = *self.scratch.get_or_insert_with(|| {
            let ty = ll.context.struct_type(&[ll.ptr.into(); 4], false);
            let map = ll.module.add_global(ty, None, image::SCRATCH);
            map.set_initializer(&ty.const_zero());
            (map, map.as_pointer_value())
        });
        pointer
    }

    /// The slot of a program in the scratch memory of a CPU.
    pub(super) fn scratch_slot(&mut self, common: bool) -> u32 {
        self.own_slots += u32::from(!common);
        if common { 0 } else { self.own_slots }
    }

    /// The hash of stacks of so many frames.
    pub(super) fn stack_map(&mut self, ll: &Llvm<'c>, limit: u32) -> Result<PointerValue<'c>> {
        if let Some(map) = self.stacks.get(&limit) {
            return Ok(*map);
        }
        let name = format!("{}{limit}", image::STACKS_PREFIX);
        let entries = (STACK_MAP_BYTES / (limit.max(1) * 8 + 80)).next_power_of_two() / 2;
        let types = [("key", ll.debug.bytes(8)?), ("value", ll.debug.words(limit)?)];
        let entries = entries.clamp(1024, 16384);
        let map = add_map(ll, &name, map_type::LRU_HASH, entries, 0, &types)?.as_pointer_value();
        self.stacks.insert(limit, map);
        Ok(map)
    }

    /// A number that the loader puts in place.
    pub(super) fn global(&mut self, ll: &Llvm<'c>, global: Global) -> Result<PointerValue<'c>> {
        if let Some(variable) = self.globals.get(&global) {
            return Ok(*variable);
        }
        let variable = ll.module.add_global(ll.i64, None, global.symbol());
        variable.set_section(Some(".rodata"));
        variable.set_constant(true);
        variable.set_externally_initialized(true);
        variable.set_initializer(&ll.imm(0));
        ll.debug.describe(ll.context, variable, global.symbol(), ll.debug.bytes(8)?);
        self.globals.insert(global, variable.as_pointer_value());
        Ok(variable.as_pointer_value())
    }

    /// Constant bytes in read-only data.
    pub(super) fn constant(&mut self, ll: &Llvm<'c>, bytes: &[u8]) -> Result<PointerValue<'c>> {
        if let Some(pointer) = self.bytes.get(bytes) {
            return Ok(*pointer);
        }
        let value = ll.context.const_string(bytes, false);
        let name = format!("__bt_bytes_{}", self.bytes.len());
        let variable = ll.module.add_global(value.get_type(), None, &name);
        variable.set_section(Some(".rodata"));
        variable.set_constant(true);
        variable.set_alignment(8);
        variable.set_initializer(&value);
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let ty = if size == 8 { ll.debug.words(1)? } else { ll.debug.bytes(size)? };
        ll.debug.describe(ll.context, variable, &name, ty);
        self.bytes.insert(bytes.to_vec(), variable.as_pointer_value());
        Ok(variable.as_pointer_value())
    }

    /// At least so many zero bytes in read-only data.
    pub(super) fn zeros(&mut self, ll: &Llvm<'c>, size: u32) -> PointerValue<'c> {
        self.zeros_size = self.zeros_size.max(size.next_multiple_of(8));
        // Its type does not matter to those that point to it; `finish` replaces it by one of the right size.
        self.zeros
            .get_or_insert_with(|| ll.module.add_global(ll.i64, None, "__bt_zeros_declared"))
            .as_pointer_value()
    }

    /// An event that the compiler itself adds.
    pub(super) fn add_event(&mut self, event: Event) -> EventId {
        // The same message from several reads of one expression is one event.
        let same = |e: &Event| e.span == event.span && e.kind == event.kind;
        let at = self.events.iter().position(same).unwrap_or_else(|| {
            self.events.push(event);
            self.events.len() - 1
        });
        EventId(u32::try_from(at).unwrap_or(u32::MAX))
    }

    /// Defines what depends on all programs, and tells the manifest.
    pub(super) fn finish(
        mut self,
        ll: &Llvm<'c>,
        program: &ir::Program,
        settings: &Settings<'_>,
    ) -> Result<image::Manifest> {
        if let Some(declared) = self.zeros {
            let value = ll.i64.array_type(self.zeros_size / 8).const_zero();
            let zeros = ll.module.add_global(value.get_type(), None, "__bt_zeros");
            zeros.set_section(Some(".rodata"));
            zeros.set_constant(true);
            zeros.set_alignment(8);
            zeros.set_initializer(&value);
            ll.debug.describe(ll.context, zeros, "__bt_zeros", ll.debug.words(self.zeros_size / 8)?);
            declared.as_pointer_value().replace_all_uses_with(zeros.as_pointer_value());
            // SAFETY: nothing refers to the declaration any more, and it is not used after this.
            unsafe { declared.delete() };
        }
        // Slot 0 is there even if no program uses it: then the others' numbers need no change.
        let slots_per_cpu = self.own_slots + 1;
        for load in self.slot_counts.drain(..) {
            let count = ll.imm(u64::from(slots_per_cpu));
            if let BasicValueEnum::IntValue(value) = load {
                value.replace_all_uses_with(count);
            }
            if let Some(load) = load.as_instruction_value() {
                load.erase_from_basic_block();
            }
        }
        if let Some((map, _)) = self.scratch {
            let size = self.scratch_size.max(8);
            let slots = slots_per_cpu.saturating_mul(settings.cpus.max(1));
            let numbers = [("type", map_type::ARRAY), ("max_entries", slots)];
            let types = [("key", ll.debug.bytes(4)?), ("value", ll.debug.words(size.div_ceil(8))?)];
            define_map(ll, map, image::SCRATCH, &numbers, &types)?;
        }
        let license = ll.context.const_string(settings.config.license.as_bytes(), true);
        let variable = ll.module.add_global(license.get_type(), None, "LICENSE");
        variable.set_section(Some("license"));
        // What a script links may have a variable of that name, too. Nor is it constant there, and sections of one name
        // have to be alike.
        variable.set_linkage(Linkage::Internal);
        variable.set_initializer(&license);
        let events = std::mem::take(&mut self.events);
        Ok(image::Manifest {
            programs: vec![],
            maps: program.maps.clone(),
            events,
            strings: program.strings.clone(),
            probe_names: program.probe_names.clone(),
            layouts: program.layouts.clone(),
            globals: self.globals.keys().copied().collect(),
            stack_limits: self.stacks.keys().copied().collect(),
            ring: self.ring.map(|(_, size)| size),
            scratch_size: if self.scratch.is_some() {
                self.scratch_size.max(8).next_multiple_of(8)
            } else {
                0
            },
            scratch_slots: if self.scratch.is_some() { slots_per_cpu } else { 0 },
        })
    }
}

/// The event's name for messages of this compiler.
pub(super) fn helper_error(helper: &str) -> EventKind {
    EventKind::HelperError { helper: helper.to_owned() }
}

fn script_map<'c>(
    ll: &Llvm<'c>,
    map: &image::Map,
    layouts: &Layouts,
    settings: &Settings<'_>,
) -> Result<ScriptMap<'c>> {
    let ty = match map.kind {
        MapKind::Array => map_type::ARRAY,
        MapKind::PerCpuArray => map_type::PERCPU_ARRAY,
        MapKind::Hash => map_type::HASH,
        MapKind::LruHash => map_type::LRU_HASH,
        MapKind::PerCpuHash => map_type::PERCPU_HASH,
        MapKind::LruPerCpuHash => map_type::LRU_PERCPU_HASH,
    };
    let (key_size, value_size) = map_sizes(map, layouts);
    let on_demand = matches!(map.kind, MapKind::Hash | MapKind::PerCpuHash);
    let flags = if on_demand && (settings.has)(Feature::MapAlloc) { NO_PREALLOC } else { 0 };
    let value = match &map.value {
        Type::Agg(_) => ll.debug.words(value_size / 8)?,
        _ => ll.debug.bytes(value_size)?,
    };
    let types = [("key", ll.debug.bytes(key_size)?), ("value", value)];
    let pointer = add_map(ll, &map.symbol, ty, map.max_entries, flags, &types)?.as_pointer_value();
    Ok(ScriptMap { pointer, key_size, value_size })
}

/// A map's key and value sizes in bytes. A key is at least one byte (an empty tuple), a value at least one; the value
/// of a map without keys has its flag behind it.
fn map_sizes(map: &image::Map, layouts: &Layouts) -> (u32, u32) {
    let key = map.key.as_ref().map_or(4, |key| size_of(key, layouts));
    let value = map.written_flag(layouts).map_or_else(|| map.entry_size(layouts), |flag| flag + 8);
    (key.max(1), value.max(1))
}

fn add_map<'c>(
    ll: &Llvm<'c>,
    name: &str,
    ty: u32,
    max_entries: u32,
    flags: u32,
    types: &[(&str, inkwell::debug_info::DIType<'c>)],
) -> Result<GlobalValue<'c>> {
    let mut numbers = vec![("type", ty), ("max_entries", max_entries)];
    if flags != 0 {
        numbers.push(("map_flags", flags));
    }
    let value = ll.context.struct_type(&vec![ll.ptr.into(); numbers.len() + types.len()], false);
    let map = ll.module.add_global(value, None, name);
    map.set_initializer(&value.const_zero());
    define_map(ll, map, name, &numbers, types)?;
    Ok(map)
}

fn define_map<'c>(
    ll: &Llvm<'c>,
    map: GlobalValue<'c>,
    name: &str,
    numbers: &[(&str, u32)],
    types: &[(&str, inkwell::debug_info::DIType<'c>)],
) -> Result<()> {
    map.set_section(Some(".maps"));
    map.set_alignment(8);
    ll.debug.describe(ll.context, map, name, ll.debug.map(numbers, types)?);
    Ok(())
}
