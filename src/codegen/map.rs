//! Maps: keys, lookups, updates.

use inkwell::IntPredicate;
use inkwell::values::{FunctionValue, IntValue, PointerValue};

use super::Error;
use super::debug::Param;
use super::expr::Padding;
use super::helpers::{NOEXIST, id};
use super::llvm::Result;
use super::memory::Mem;
use super::program::Gen;
use crate::diagnostics::Span;
use crate::image::{Counter, EventKind, Map, MapId};
use crate::ir::{Expr, ExprKind, VarId};
use crate::kernel::Feature;
use crate::types::layout::sequence;
use crate::types::{Int, Type};

/// `-E2BIG`, of a map that is full.
const E2BIG: i64 = -7;

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn script_map(&self, id: MapId) -> Result<&'g Map> {
        self.program
            .maps
            .get(id.0 as usize)
            .ok_or_else(|| Error::Internal(format!("there is no map {}", id.0)))
    }

    /// Evaluates a key to where it lies in memory.
    pub(super) fn key(&mut self, map: MapId, key: Option<&'g Expr>) -> Result<PointerValue<'c>> {
        let Some(key) = key else { return self.zero_key() };
        let size = self.object.map(map)?.key_size;
        let ty = self.script_map(map)?.key.as_ref().unwrap_or(&key.ty);
        if key.ty.is_scalar() {
            let mem = self.stack_temp(8)?;
            let value = self.scalar(key)?;
            self.store(mem, ty, value)?;
            return Ok(mem.ptr);
        }
        let mem = self.temp(size)?;
        self.write_as(key, ty, mem, Padding::Zero)?;
        Ok(mem.ptr)
    }

    /// The key of maps without keys, which are arrays of one.
    pub(super) fn zero_key(&mut self) -> Result<PointerValue<'c>> {
        if let Some(key) = self.frame.zero_key {
            return Ok(key);
        }
        let key = self.entry_zero()?;
        self.frame.zero_key = Some(key);
        Ok(key)
    }

    pub(super) fn lookup(&mut self, map: MapId, key: PointerValue<'c>) -> Result<PointerValue<'c>> {
        let map = self.object.map(map)?.pointer;
        self.ll.helper_ptr(id::MAP_LOOKUP, &[map.into(), key.into()])
    }

    /// Updates a map, and counts it if the map does not take it.
    fn update(&mut self, map: MapId, key: PointerValue<'c>, value: PointerValue<'c>) -> Result<()> {
        let pointer = self.object.map(map)?.pointer;
        let args = [pointer.into(), key.into(), value.into(), self.ll.imm(0).into()];
        let result = self.ll.helper(id::MAP_UPDATE, &args)?;
        let failed = self.ll.is_true(result)?;
        self.when(failed, |g| g.refused(map, Some(result)))
    }

    /// A map without keys has been written: see [`Map::written_flag`].
    pub(super) fn mark_written(&mut self, map: MapId, value: PointerValue<'c>) -> Result<()> {
        match self.script_map(map)?.written_flag(&self.program.layouts) {
            Some(flag) => self.ll.store(self.ll.at(value, flag.into())?, self.ll.imm(1), 8, 8),
            None => Ok(()),
        }
    }

    /// The map had no room for a key. With `-k` the user is told where; without a result of the kernel's, that it is
    /// full.
    pub(super) fn refused(&mut self, map: MapId, result: Option<IntValue<'c>>) -> Result<()> {
        self.bump(Counter::Maps as u32 + map.0)?;
        if !self.settings.report_helper_errors {
            return Ok(());
        }
        self.report_helper(id::MAP_UPDATE, result.unwrap_or(self.ll.imm(E2BIG.cast_unsigned())))
    }

    /// The value of a key, which is inserted as zeros where it is missing; null if the map takes no more.
    pub(super) fn lookup_or_insert(&mut self, map: MapId, key: PointerValue<'c>) -> Result<PointerValue<'c>> {
        let ll = self.ll;
        let script_map = self.object.map(map)?;
        let found = self.lookup(map, key)?;
        if self.script_map(map)?.key.is_none() {
            return Ok(found);
        }
        let zeros = self.object.zeros(ll, script_map.value_size);
        let (insert, done) = (ll.block("insert")?, ll.block("inserted")?);
        let here = ll.here()?;
        ll.branch(ll.is_null(found)?, insert, done)?;
        ll.enter(insert);
        let args = [script_map.pointer.into(), key.into(), zeros.into(), ll.imm(NOEXIST).into()];
        ll.helper(id::MAP_UPDATE, &args)?;
        // If another CPU inserted it meanwhile, it is there as well.
        let inserted = self.lookup(map, key)?;
        ll.jump(done)?;
        ll.enter(done);
        let phi = ll.builder.build_phi(ll.ptr, "")?;
        phi.add_incoming(&[(&found, here), (&inserted, insert)]);
        Ok(phi.as_basic_value().into_pointer_value())
    }

    /// A scalar map value, zero where there is none.
    pub(super) fn map_get_scalar(
        &mut self,
        expr: &'g Expr,
        map: MapId,
        key: Option<&'g Expr>,
    ) -> Result<IntValue<'c>> {
        let ty = &self.script_map(map)?.value;
        let value = self.scoped(|g| {
            let has_key = key.is_some();
            let key = g.key(map, key)?;
            g.locate(expr.span);
            if let Type::Agg(agg) = ty {
                return g.aggregate_value(map, agg, key);
            }
            let found = g.lookup(map, key)?;
            let missing = g.ll.is_null(found)?;
            g.choose(
                missing,
                |g| {
                    g.report_missing(has_key)?;
                    Ok(g.ll.imm(0))
                },
                |g| g.ll.load(found, g.int(ty)?, 8),
            )
        })?;
        self.as_type(value, &expr.ty)
    }

    /// A composite map value, zeros where there is none.
    pub(super) fn map_get(
        &mut self,
        to: Mem<'c>,
        size: u32,
        map: MapId,
        key: Option<&'g Expr>,
        expr: &'g Expr,
        padding: Padding,
    ) -> Result<()> {
        let ty = &self.script_map(map)?.value;
        self.scoped(|g| {
            let has_key = key.is_some();
            let key = g.key(map, key)?;
            g.locate(expr.span);
            let found = g.lookup(map, key)?;
            let missing = g.ll.is_null(found)?;
            g.either(
                missing,
                |g| {
                    g.report_missing(has_key)?;
                    match ty {
                        Type::Str(_) if padding == Padding::Undefined && !to.on_stack => g.zero(to, 1),
                        _ => g.zero(to, size),
                    }
                },
                |g| {
                    let from = Mem { ptr: found, align: 8, on_stack: false };
                    g.copy_value(to, from, ty, &expr.ty, padding)
                },
            )
        })
    }

    /// With `-k`, tells the user that a key that is read is not there.
    fn report_missing(&mut self, has_key: bool) -> Result<()> {
        if !self.settings.report_helper_errors || !has_key {
            return Ok(());
        }
        self.report_helper(id::MAP_LOOKUP, self.ll.imm(0))
    }

    pub(super) fn map_has(&mut self, map: MapId, key: &'g Expr) -> Result<IntValue<'c>> {
        self.scoped(|g| {
            let key = g.key(map, Some(key))?;
            let found = g.lookup(map, key)?;
            // Or LLVM makes one comparison of this and what it is combined with: of a pointer that may be null and a
            // number, which the verifier does not let it calculate with.
            g.ll.opaque(g.ll.flag(g.ll.builder.build_is_not_null(found, "")?)?)
        })
    }

    pub(super) fn map_find(&mut self, map: MapId, key: &'g Expr, var: VarId) -> Result<IntValue<'c>> {
        self.scoped(|g| {
            let key = g.key(map, Some(key))?;
            let found = g.lookup(map, key)?;
            let missing = g.ll.is_null(found)?;
            g.choose(
                missing,
                |g| Ok(g.ll.imm(0)),
                |g| {
                    let (to, ty) = g.variable(var)?;
                    let from = Mem { ptr: found, align: 8, on_stack: false };
                    if ty.is_scalar() {
                        let value = g.load(from, ty)?;
                        g.store(to, ty, value)?;
                    } else {
                        g.copy_value(to, from, ty, ty, Padding::Undefined)?;
                    }
                    Ok(g.ll.imm(1))
                },
            )
        })
    }

    /// With `-k`, a key that is not there is reported if nobody looks at the result.
    pub(super) fn map_delete(
        &mut self,
        map: MapId,
        key: Option<&'g Expr>,
        discarded: bool,
    ) -> Result<IntValue<'c>> {
        self.scoped(|g| {
            let pointer = g.object.map(map)?;
            let per_cpu = g.script_map(map)?.kind.per_cpu();
            let has_key = key.is_some();
            let key = g.key(map, key)?;
            if has_key {
                let result = g.ll.helper(id::MAP_DELETE, &[pointer.pointer.into(), key.into()])?;
                if discarded {
                    g.check_helper(id::MAP_DELETE, result)?;
                }
                return g.ll.flag(g.ll.compare(IntPredicate::EQ, result, g.ll.imm(0))?);
            }
            let clear = |g: &mut Self, found| {
                let missing = g.ll.is_null(found)?;
                g.either(
                    missing,
                    |_| Ok(()),
                    |g| {
                        let value = Mem { ptr: found, align: 8, on_stack: false };
                        g.zero(value, pointer.value_size)
                    },
                )
            };
            if per_cpu && (!g.has(Feature::LookupPerCpu) || g.script_map(map)?.pieces() > 1) {
                // A program reaches its own CPU's value only, and not many of them; the loader reaches all.
                g.notify(EventKind::Clear(map), g.place)?;
            } else if per_cpu {
                g.each_cpu(map, key, clear)?;
            } else {
                let found = g.lookup(map, key)?;
                clear(g, found)?;
            }
            Ok(g.ll.imm(1))
        })
    }

    /// How many keys there are: the kernel counts what it walks over.
    pub(super) fn map_len(&mut self, map: MapId) -> Result<IntValue<'c>> {
        if self.script_map(map)?.key.is_none() {
            return Ok(self.ll.imm(1));
        }
        if !self.has(Feature::ForEachMap) {
            return Err(Error::Internal("len() of a map needs Linux 5.13".into()));
        }
        let callback = match self.object.count_callback {
            Some(callback) => callback,
            None => {
                let callback = self.aside(|g| g.count_callback())?;
                self.object.count_callback = Some(callback);
                callback
            }
        };
        let map = self.object.map(map)?.pointer;
        let callback = callback.as_global_value().as_pointer_value();
        let null = self.ll.ptr.const_null();
        let args = [map.into(), callback.into(), null.into(), self.ll.imm(0).into()];
        self.ll.helper(id::FOR_EACH_MAP_ELEM, &args)
    }

    fn count_callback(&mut self) -> Result<FunctionValue<'c>> {
        let params = ["map", "key", "value", "ctx"].map(Param::pointer);
        let callback = self.ll.add_function("__bt_count_keys", None, &params, 1)?;
        self.ll.enter(self.ll.context.append_basic_block(callback, "entry"));
        super::program::locate(self.ll, callback, self.probe.span.head());
        self.ll.builder.build_return(Some(&self.ll.imm(0)))?;
        Ok(callback)
    }

    /// `@m[key] = value`
    pub(super) fn set_map(
        &mut self,
        map: MapId,
        key: Option<&'g Expr>,
        value: &'g Expr,
        span: Span,
    ) -> Result<()> {
        let definition = self.script_map(map)?;
        let ty = &definition.value;
        if value.ty.is_scalar() {
            let value = self.scalar(value)?;
            let has_key = key.is_some();
            let key = self.key(map, key)?;
            self.locate(span);
            // A program that never looks whether a key is there, where keys are deleted again, sets new ones nearly
            // always: `@start[tid] = nsecs`.
            if has_key && self.settings.emptied_maps.contains(&map) && !self.facts.searched.contains(&map) {
                let mem = self.stack_temp(8)?;
                self.store(mem, ty, value)?;
                return self.update(map, key, mem.ptr);
            }
            // A key that is there needs no update: its element stays where it is, and one store is atomic.
            let found = self.lookup(map, key)?;
            let missing = self.ll.is_null(found)?;
            return self.either(
                missing,
                |g| {
                    if !has_key {
                        return Ok(());
                    }
                    let mem = g.stack_temp(8)?;
                    g.store(mem, ty, value)?;
                    g.update(map, key, mem.ptr)
                },
                |g| {
                    g.ll.store(found, value, u32::from(g.int(ty)?.size), 8)?;
                    g.mark_written(map, found)
                },
            );
        }
        // What is read straight from memory needs no place in between.
        let direct = key.is_none()
            && value.ty == *ty
            && matches!(value.kind, ExprKind::ReadString { .. } | ExprKind::Fill { .. } | ExprKind::Bytes(_));
        if direct {
            let key = self.zero_key()?;
            let found = self.lookup(map, key)?;
            let there = self.ll.builder.build_is_not_null(found, "")?;
            return self.when(there, |g| {
                g.write(value, Mem { ptr: found, align: 8, on_stack: false }, Padding::Undefined)?;
                g.mark_written(map, found)
            });
        }
        let mem = if value.ty == *ty {
            self.memory(value)?
        } else {
            let mem = self.temp(self.size_of(ty))?;
            self.write_as(value, ty, mem, Padding::Undefined)?;
            mem
        };
        let has_key = key.is_some();
        let key = self.key(map, key)?;
        self.locate(span);
        if has_key {
            // The kernel reads all of the value, so all of it has to be written where the verifier looks: the stack.
            return self.update(map, key, mem.ptr);
        }
        let found = self.lookup(map, key)?;
        let there = self.ll.builder.build_is_not_null(found, "")?;
        self.when(there, |g| {
            g.copy_value(Mem { ptr: found, align: 8, on_stack: false }, mem, ty, ty, Padding::Undefined)?;
            g.mark_written(map, found)
        })
    }

    /// Adds to a map's number. `wanted` is whether the value from before or the one after is to be returned.
    pub(super) fn map_add(
        &mut self,
        map: MapId,
        key: Option<&'g Expr>,
        delta: &'g Expr,
        wanted: Option<bool>,
    ) -> Result<IntValue<'c>> {
        let int = self.int(&self.script_map(map)?.value)?;
        let delta = self.scalar(delta)?;
        let before = self.scoped(|g| {
            let has_key = key.is_some();
            let key = g.key(map, key)?;
            let found = g.lookup(map, key)?;
            g.add_or_insert(map, key, found, delta, int, wanted.is_some(), has_key)
        })?;
        match wanted {
            Some(false) => Ok(self.ll.builder.build_int_add(before, delta, "")?),
            _ => self.ll.normalize(before, int),
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add_or_insert(
        &mut self,
        map: MapId,
        key: PointerValue<'c>,
        found: PointerValue<'c>,
        delta: IntValue<'c>,
        int: Int,
        wanted: bool,
        has_key: bool,
    ) -> Result<IntValue<'c>> {
        let ll = self.ll;
        let size = u32::from(int.size);
        let (miss, hit, done) = (ll.block("miss")?, ll.block("hit")?, ll.block("added")?);
        let here = ll.here()?;
        ll.branch(ll.is_null(found)?, miss, hit)?;
        ll.enter(hit);
        let slot = ll.builder.build_phi(ll.ptr, "")?;
        slot.add_incoming(&[(&found, here)]);
        let at = slot.as_basic_value().into_pointer_value();
        self.mark_written(map, at)?;
        let before = if size < 4 {
            // There is no atomic operation that small.
            let before = ll.load(at, int, size)?;
            ll.store(at, ll.builder.build_int_add(before, delta, "")?, size, size)?;
            before
        } else if !wanted || self.has(Feature::AtomicFetch) {
            let before = ll.atomic_add(at, delta, size)?;
            if wanted { before } else { ll.imm(0) }
        } else {
            ll.atomic_add(at, delta, size)?;
            ll.builder.build_int_sub(ll.load(at, int, size)?, delta, "")?
        };
        let from_hit = ll.here()?;
        ll.jump(done)?;
        ll.enter(miss);
        let mut incoming = vec![(before, from_hit)];
        if has_key {
            let pointer = self.object.map(map)?.pointer;
            let value = self.stack_temp(8)?;
            ll.store(value.ptr, delta, size, 8)?;
            let args = [pointer.into(), key.into(), value.ptr.into(), ll.imm(NOEXIST).into()];
            let result = ll.helper(id::MAP_UPDATE, &args)?;
            let retry = ll.block("retry")?;
            incoming.push((ll.imm(0), ll.here()?));
            ll.branch(ll.is_true(result)?, retry, done)?;
            ll.enter(retry);
            // Either another CPU was faster or the map is full.
            let again = self.lookup(map, key)?;
            let full = ll.block("full")?;
            slot.add_incoming(&[(&again, ll.here()?)]);
            ll.branch(ll.is_null(again)?, full, hit)?;
            ll.enter(full);
            self.refused(map, Some(result))?;
        }
        incoming.push((ll.imm(0), ll.here()?));
        ll.jump(done)?;
        ll.enter(done);
        ll.phi(&incoming)
    }

    /// Runs code for a key's value on each CPU, which may be null.
    pub(super) fn each_cpu(
        &mut self,
        map: MapId,
        key: PointerValue<'c>,
        code: impl FnOnce(&mut Self, PointerValue<'c>) -> Result<()>,
    ) -> Result<()> {
        let ll = self.ll;
        let pointer = self.object.map(map)?.pointer;
        if !self.has(Feature::LookupPerCpu) {
            return Err(Error::Internal("reading a per-CPU map needs Linux 5.18".into()));
        }
        self.counted((u64::from(self.settings.cpus.max(1)), 1), |g, cpu, _| {
            let args = [pointer.into(), key.into(), cpu.into()];
            let found = ll.helper_ptr(id::MAP_LOOKUP_PERCPU, &args)?;
            code(g, found)
        })
    }

    /// Splits a map's loop variable: where its key and its value go.
    pub(super) fn entry_offsets(&self, types: &[Type]) -> Result<(u32, u32)> {
        match sequence(types, &self.program.layouts).offsets.as_slice() {
            [key, value] => Ok((*key, *value)),
            _ => Err(Error::Internal("a loop over a map yields a key and a value".into())),
        }
    }
}
