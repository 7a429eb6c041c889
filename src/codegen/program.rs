//! One BPF program: its entry and exits, the functions that loops need, and where its values live.

use inkwell::IntPredicate;
use inkwell::basic_block::BasicBlock;
use inkwell::values::{BasicValue, BasicValueEnum, FunctionValue, IntValue, PointerValue};

use super::analysis::Facts;
use super::debug::Param;
use super::helpers::id;
use super::llvm::{Llvm, Result};
use super::loops::Loop;
use super::memory::{Home, Mem, Pool};
use super::object::Object;
use super::{Error, Settings};
use crate::diagnostics::Span;
use crate::image::Counter;
use crate::ir::{self, Nesting, VarId};
use crate::kernel::Feature;
use crate::types::{Int, Space, Type, layout};

/// Generates one probe's program.
pub(super) struct Gen<'g, 'c> {
    pub(super) ll: &'g Llvm<'c>,
    pub(super) object: &'g mut Object<'c>,
    pub(super) program: &'g ir::Program,
    pub(super) probe: &'g ir::Probe,
    pub(super) settings: &'g Settings<'g>,
    pub(super) facts: Facts,
    pub(super) vars: Vec<Home<'c>>,
    pub(super) frame: Frame<'c>,
    pub(super) pool: Pool<'c>,
    /// Cells that tell a loop's caller that the program is to end: whether, and with what.
    pub(super) leaving: Option<(Home<'c>, Home<'c>)>,
    /// What is being generated, for messages.
    pub(super) place: Span,
}

/// The function that is being generated.
pub(super) struct Frame<'c> {
    pub(super) function: FunctionValue<'c>,
    /// Where its allocations go.
    pub(super) entry: BasicBlock<'c>,
    pub(super) context: PointerValue<'c>,
    pub(super) scratch: PointerValue<'c>,
    /// What callbacks get: see [`super::loops`].
    pub(super) shared: Option<PointerValue<'c>>,
    /// `None` in a callback.
    pub(super) exit: Option<Exit<'c>>,
    pub(super) loops: Vec<Loop<'c>>,
    /// A zero on the stack, the key of maps without keys.
    pub(super) zero_key: Option<PointerValue<'c>>,
}

#[derive(Clone, Copy)]
pub(super) struct Exit<'c> {
    block: BasicBlock<'c>,
    result: PointerValue<'c>,
}

/// The function of a probe, with what its manifest entry needs.
pub(super) fn generate<'c>(
    ll: &Llvm<'c>,
    object: &mut Object<'c>,
    program: &ir::Program,
    probe: &ir::Probe,
    settings: &Settings<'_>,
) -> Result<String> {
    // LLVM would take a function and a section of one name for the same symbol.
    let name = if probe.name == probe.section { format!("{}_", probe.name) } else { probe.name.clone() };
    let line = ll.debug.line(probe.span);
    let function = ll.add_function(&name, Some(&probe.section), &[Param::pointer("ctx")], line)?;
    let entry = ll.context.append_basic_block(function, "entry");
    let setup = ll.context.append_basic_block(function, "setup");
    let body = ll.context.append_basic_block(function, "body");
    let exit = ll.context.append_basic_block(function, "exit");
    ll.enter(entry);
    locate(ll, function, probe.span);
    let result = ll.builder.build_alloca(ll.i64, "result")?;
    ll.builder.build_store(result, ll.imm(0))?;
    ll.jump(setup)?;
    // Whether the program needs scratch memory is known at its end; until then something has to stand for it.
    ll.enter(setup);
    let placeholder = ll.builder.build_load(ll.ptr, ll.ptr.const_null(), "scratch")?.into_pointer_value();
    ll.enter(body);
    let context = first_pointer(function)?;
    let mut g = Gen {
        ll,
        object,
        program,
        probe,
        settings,
        facts: Facts::of(probe, settings),
        vars: vec![],
        frame: Frame {
            function,
            entry,
            context,
            scratch: placeholder,
            shared: None,
            exit: Some(Exit { block: exit, result }),
            loops: vec![],
            zero_key: None,
        },
        pool: Pool::default(),
        leaving: None,
        place: probe.span,
    };
    if g.facts.outlined {
        g.share_frame()?;
    }
    g.skip_the_end()?;
    g.place_variables()?;
    g.skip_nothing()?;
    g.statements(&probe.body)?;
    g.pace()?;
    ll.jump(exit)?;
    g.finish(setup, body, exit, placeholder)?;
    Ok(function.get_name().to_string_lossy().into_owned())
}

pub(super) fn first_pointer(function: FunctionValue<'_>) -> Result<PointerValue<'_>> {
    match function.get_first_param() {
        Some(param) if param.is_pointer_value() => Ok(param.into_pointer_value()),
        _ => Err(Error::Internal("a function without a pointer parameter".into())),
    }
}

/// Sets the place in the script that the code which follows belongs to.
pub(super) fn locate<'c>(ll: &Llvm<'c>, function: FunctionValue<'c>, span: Span) {
    if let Some(subprogram) = function.get_subprogram() {
        ll.builder.set_current_debug_location(ll.debug.location(ll.context, span, subprogram));
    }
}

impl<'g, 'c> Gen<'g, 'c> {
    pub(super) fn has(&self, feature: Feature) -> bool {
        (self.settings.has)(feature)
    }

    pub(super) fn size_of(&self, ty: &Type) -> u32 {
        layout::size_of(ty, &self.program.layouts)
    }

    /// The code that follows belongs to this part of the script.
    pub(super) fn locate(&mut self, span: Span) {
        self.place = span;
        locate(self.ll, self.frame.function, span);
    }

    /// The code that follows belongs to the start of the function.
    pub(super) fn locate_entry(&self) {
        locate(self.ll, self.frame.function, self.probe.span.head());
    }

    /// Where `Space::Unknown` is.
    pub(super) fn space(&self, space: Space) -> Space {
        match space {
            Space::Unknown => self.probe.space,
            known => known,
        }
    }

    /// Gives every variable its place, and those that may be read before they are set, a value.
    fn place_variables(&mut self) -> Result<()> {
        let probe = self.probe;
        for (variable, n) in probe.variables.iter().zip(0u32..) {
            let id = VarId(n);
            let size = self.size_of(&variable.ty).max(8);
            let home = if self.facts.in_loop.contains(&id) {
                self.pool.scratch(size)
            } else {
                self.permanent(size)?
            };
            self.vars.push(home);
            if self.facts.uninitialized.contains(&id) {
                let mem = self.mem(home)?;
                match variable.ty {
                    // All of it can be read.
                    _ if self.facts.addressed.contains(&id) => self.zero(mem, size)?,
                    // A string ends at its first NUL, and a buffer has its length.
                    Type::Str(_) if !mem.on_stack => self.ll.store(mem.ptr, self.ll.imm(0), 1, 1)?,
                    Type::Buf(_) if !mem.on_stack => self.ll.store(mem.ptr, self.ll.imm(0), 4, 4)?,
                    _ => self.zero(mem, size)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn variable(&self, id: VarId) -> Result<(Mem<'c>, &'g Type)> {
        let home = self.vars.get(id.0 as usize);
        let variable = self.probe.variables.get(id.0 as usize);
        match (home, variable) {
            (Some(home), Some(variable)) => Ok((self.mem(*home)?, &variable.ty)),
            _ => Err(Error::Internal(format!("there is no variable {}", id.0))),
        }
    }

    /// Ends the program from any depth.
    pub(super) fn leave(&mut self, value: Option<IntValue<'c>>) -> Result<()> {
        let value = if self.probe.returns_zero { None } else { value };
        match self.frame.exit {
            Some(exit) => {
                if let Some(value) = value {
                    self.ll.builder.build_store(exit.result, value)?;
                }
                self.ll.jump(exit.block)?;
            }
            None => {
                let (flag, result) =
                    self.leaving.ok_or_else(|| Error::Internal("a return that was not foreseen".into()))?;
                if let Some(value) = value {
                    self.ll.store(self.mem(result)?.ptr, value, 8, 8)?;
                }
                self.ll.store(self.mem(flag)?.ptr, self.ll.imm(1), 8, 8)?;
                self.ll.builder.build_return(Some(&self.ll.imm(1)))?;
            }
        }
        // Whatever follows is never reached, but has to be somewhere.
        self.ll.enter(self.ll.block("unreached")?);
        Ok(())
    }

    /// After the last object the kernel runs an iterator's program once more, without one: that is not the script's to
    /// see.
    fn skip_nothing(&mut self) -> Result<()> {
        let Some(object) = self.probe.object else { return Ok(()) };
        let object = self.ll.load_volatile(self.ll.at(self.frame.context, object.into())?, Int::U64)?;
        let missing = self.ll.compare(IntPredicate::EQ, object, self.ll.imm(0))?;
        self.when(missing, |g| g.leave(None))
    }

    /// Leaves if all is over: the kernel has not let go of the program yet.
    fn skip_the_end(&mut self) -> Result<()> {
        let slow = self.probe.attach.iter().any(|place| place.what.slow_places() > 0);
        if !(slow && self.settings.lingers) {
            return Ok(());
        }
        let counters = self.object.counters(self.ll)?;
        let key = self.stack_temp(4)?;
        self.ll.store(key.ptr, self.ll.imm(Counter::Over as u64), 4, 4)?;
        let slot = self.ll.helper_ptr(id::MAP_LOOKUP, &[counters.into(), key.ptr.into()])?;
        let missing = self.ll.is_null(slot)?;
        self.when(missing, |g| g.leave(None))?;
        let over = self.ll.load_volatile(slot, Int::U64)?;
        let over = self.ll.is_true(over)?;
        self.when(over, |g| g.leave(None))
    }

    /// Runs code if an `i1` is set.
    pub(super) fn when(
        &mut self,
        condition: IntValue<'c>,
        then: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let (yes, done) = (self.ll.block("then")?, self.ll.block("done")?);
        self.ll.branch(condition, yes, done)?;
        self.ll.enter(yes);
        then(self)?;
        self.ll.jump(done)?;
        self.ll.enter(done);
        Ok(())
    }

    /// One of two ways.
    pub(super) fn either(
        &mut self,
        condition: IntValue<'c>,
        then: impl FnOnce(&mut Self) -> Result<()>,
        otherwise: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.choose(condition, |g| then(g).map(|()| g.ll.imm(0)), |g| otherwise(g).map(|()| g.ll.imm(0)))?;
        Ok(())
    }

    /// One of two ways to a value.
    pub(super) fn choose(
        &mut self,
        condition: IntValue<'c>,
        then: impl FnOnce(&mut Self) -> Result<IntValue<'c>>,
        otherwise: impl FnOnce(&mut Self) -> Result<IntValue<'c>>,
    ) -> Result<IntValue<'c>> {
        let (yes, no, done) = (self.ll.block("then")?, self.ll.block("else")?, self.ll.block("done")?);
        self.ll.branch(condition, yes, no)?;
        self.ll.enter(yes);
        let a = then(self)?;
        let from_a = self.ll.here()?;
        self.ll.jump(done)?;
        self.ll.enter(no);
        let b = otherwise(self)?;
        let from_b = self.ll.here()?;
        self.ll.jump(done)?;
        self.ll.enter(done);
        self.ll.phi(&[(a, from_a), (b, from_b)])
    }

    /// Counts something that the user is told of when the script ends. It happens rarely and in many places: a
    /// function of its own keeps those small.
    pub(super) fn bump(&mut self, counter: u32) -> Result<()> {
        let function = match self.object.bump_function {
            Some(function) => function,
            None => {
                let function = self.aside(|g| g.bump_function())?;
                self.object.bump_function = Some(function);
                function
            }
        };
        self.ll.builder.build_call(function, &[self.ll.imm(u64::from(counter)).into()], "")?;
        Ok(())
    }

    fn bump_function(&mut self) -> Result<FunctionValue<'c>> {
        let ll = self.ll;
        let function = ll.add_function("__bt_bump", None, &[Param::number("counter")], 1)?;
        let counters = self.object.counters(ll)?;
        ll.enter(ll.context.append_basic_block(function, "entry"));
        locate(ll, function, self.probe.span.head());
        let key = ll.builder.build_alloca(ll.i64, "key")?;
        let counter = match function.get_first_param() {
            Some(BasicValueEnum::IntValue(counter)) => counter,
            _ => return Err(Error::Internal("bump() without a number".into())),
        };
        ll.store(key, counter, 4, 4)?;
        let slot = ll.helper_ptr(id::MAP_LOOKUP, &[counters.into(), key.into()])?;
        let (found, done) = (ll.block("found")?, ll.block("done")?);
        ll.branch(ll.is_null(slot)?, done, found)?;
        ll.enter(found);
        ll.atomic_add(slot, ll.imm(1), 8)?;
        ll.jump(done)?;
        ll.enter(done);
        ll.builder.build_return(Some(&ll.imm(0)))?;
        Ok(function)
    }

    /// Makes another function, then goes on where it was.
    pub(super) fn aside<T>(&mut self, code: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let (here, location) = (self.ll.here()?, self.ll.builder.get_current_debug_location());
        let result = code(self)?;
        self.ll.resume(here);
        if let Some(location) = location {
            self.ll.builder.set_current_debug_location(location);
        }
        Ok(result)
    }

    /// Writes what stands around the body: now it is known what that needs.
    fn finish(
        &mut self,
        setup: BasicBlock<'c>,
        body: BasicBlock<'c>,
        exit: BasicBlock<'c>,
        placeholder: PointerValue<'c>,
    ) -> Result<()> {
        self.ll.enter(setup);
        self.locate(self.probe.span.head());
        let guarded = match self.pool.scratch_size() {
            0 => None,
            size => {
                let (area, guarded) = self.find_scratch(size)?;
                placeholder.replace_all_uses_with(area);
                guarded.then_some(area)
            }
        };
        self.ll.jump(body)?;
        if let Some(load) = placeholder.as_instruction_value() {
            load.erase_from_basic_block();
        }
        self.ll.enter(exit);
        if let Some(area) = guarded {
            self.ll.store(area, self.ll.imm(0), 8, 8)?;
        }
        if let Some(Exit { result, .. }) = self.frame.exit {
            let result = self.ll.load(result, Int::U64, 8)?;
            self.ll.builder.build_return(Some(&result))?;
        }
        Ok(())
    }

    /// Looks up this program's scratch memory on this CPU, and leaves if there is none or it is in use: its first
    /// word says so, for programs that can overlap.
    fn find_scratch(&mut self, size: u32) -> Result<(PointerValue<'c>, bool)> {
        let nesting = self.probe.nesting;
        let map = self.object.scratch(self.ll);
        let slot = self.object.scratch_slot(nesting == Nesting::Never);
        self.object.scratch_size = self.object.scratch_size.max(size);
        let ll = self.ll;
        let leave = ll.block("leave")?;
        let cpu = ll.helper(id::SMP_PROCESSOR_ID, &[])?;
        let slots = ll.builder.build_load(ll.i64, ll.ptr.const_null(), "slots")?;
        self.object.slot_counts.push(slots);
        let first = ll.builder.build_int_mul(cpu, slots.into_int_value(), "")?;
        let index = ll.builder.build_int_add(first, ll.imm(u64::from(slot)), "")?;
        let key = self.stack_temp(4)?;
        ll.store(key.ptr, index, 4, 4)?;
        let area = ll.helper_ptr(id::MAP_LOOKUP, &[map.into(), key.ptr.into()])?;
        let found = ll.block("scratch_found")?;
        ll.branch(ll.is_null(area)?, leave, found)?;
        // The usual way goes straight through.
        ll.enter_after(found, ll.here()?);
        if nesting != Nesting::Never {
            let busy = if nesting == Nesting::Preemption && self.has(Feature::AtomicFetch) {
                ll.atomic_swap(area, ll.imm(1))?
            } else {
                let busy = ll.load(area, Int::U64, 8)?;
                ll.store(area, ll.imm(1), 8, 8)?;
                busy
            };
            let (missed, free) = (ll.block("busy")?, ll.block("free")?);
            ll.branch(ll.is_true(busy)?, missed, free)?;
            let here = ll.here()?;
            ll.enter(missed);
            self.bump(Counter::MissedRuns as u32)?;
            ll.jump(leave)?;
            ll.enter_after(free, here);
        }
        let here = ll.here()?;
        ll.enter(leave);
        ll.builder.build_return(Some(&ll.imm(0)))?;
        ll.resume(here);
        Ok((area, nesting != Nesting::Never))
    }

    /// The number of the probe name of the attach point that fired.
    pub(super) fn probe_name(&self) -> Result<IntValue<'c>> {
        let ids = super::probe_names::name_ids(self.probe, &self.program.probe_names);
        match ids.as_slice() {
            [] => Ok(self.ll.imm(0)),
            [only] => Ok(self.ll.imm(u64::from(*only))),
            _ => self.ll.helper(id::ATTACH_COOKIE, &[self.frame.context.into()]),
        }
    }
}
