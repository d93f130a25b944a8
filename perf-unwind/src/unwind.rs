//! The way from a function to its callers, step by step.

use gimli::RunTimeEndian;

use crate::architecture::{Architecture, ByteOrder};
use crate::cache::RuleCache;
use crate::expression::ExpressionWorld;
use crate::frame::{CallFrame, FoundBy, StopReason, Unwound};
use crate::known_code;
use crate::modules::{Found, ModuleMap, Modules};
use crate::registers::Registers;
use crate::rule::{ComplexRule, Rule, SimpleRule, ValueRule};
use crate::stack::{NoMemory, StackMemory, number};

/// The first address that can be mapped.
const FIRST_ADDRESS: u64 = 0x1000;

/// Unwinds a stack: adds the address that the registers have, and those of the callers as far as they can be found, to
/// `frames`, innermost first and at most `max_frames`.
pub fn unwind(
    modules: &Modules,
    registers: &Registers,
    stack: &StackMemory<'_>,
    cache: &mut RuleCache,
    max_frames: usize,
    frames: &mut Vec<CallFrame>,
) -> Unwound {
    let mut unwinder = Unwinder { modules, map: None, registers: registers.clone(), stack, is_exact: true };
    let mut unwound = Unwound { stop: StopReason::MaxFrames, by_table: 0, by_frame_pointer: 0 };
    let mut found_by = FoundBy::Registers;
    for _ in 0..max_frames {
        let Some(address) = unwinder.registers.pc() else {
            unwound.stop = StopReason::NoRegister { number: registers.architecture.pc() };
            break;
        };
        // A call of a null pointer is a frame, and a return to one is none. No process has anything in its first page.
        if address < FIRST_ADDRESS && found_by != FoundBy::Registers {
            unwound.stop =
                if address == 0 { StopReason::EndOfStack } else { StopReason::Unmapped { address } };
            break;
        }
        match found_by {
            FoundBy::Registers => {}
            FoundBy::Table => unwound.by_table += 1,
            FoundBy::FramePointer => unwound.by_frame_pointer += 1,
        }
        frames.push(CallFrame { address, found_by, is_return_address: !unwinder.is_exact });
        found_by = match unwinder.step(address, cache) {
            Ok(found_by) => {
                // Nobody called a signal trampoline: the frame of one is its first instruction.
                if let Some(frame) = frames.last_mut().filter(|_| unwinder.is_exact) {
                    frame.is_return_address = false;
                }
                found_by
            }
            Err(stop) => {
                unwound.stop = stop;
                break;
            }
        };
    }
    unwound
}

/// The state between two frames.
struct Unwinder<'u> {
    modules: &'u Modules,
    /// The map of the last frame, in which the next one is mostly.
    map: Option<&'u ModuleMap>,
    registers: Registers,
    stack: &'u StackMemory<'u>,
    /// Whether the instruction at the address was interrupted, and did not call.
    is_exact: bool,
}

/// Whether memory is missing, as the reason to stop.
fn no_memory(why: NoMemory, address: u64) -> StopReason {
    match why {
        NoMemory::Cut => StopReason::Cut,
        NoMemory::Elsewhere => StopReason::OtherMemory { address },
    }
}

impl<'u> Unwinder<'u> {
    /// Goes to the caller.
    fn step(&mut self, address: u64, cache: &mut RuleCache) -> Result<FoundBy, StopReason> {
        let lookup = address.wrapping_sub(u64::from(!self.is_exact));
        let mut map = self.map.filter(|map| (map.start..map.end).contains(&lookup));
        if map.is_none() {
            map = self.map_at(lookup)?;
        }
        if map.is_none() && !self.is_exact {
            // A trampoline may be the first thing that is mapped.
            map = self.map_at(address)?;
        }
        let Some(map) = map else { return Err(StopReason::Unmapped { address }) };
        self.map = Some(map);
        let tag = map.tag;
        let (is_signal, has_return_address) = match cache.rule(map, address, !self.is_exact) {
            Rule::Simple(rule) => {
                self.simple(rule, address, tag)?;
                (rule.is_signal, rule.has_return_address)
            }
            Rule::Complex(rule) => {
                self.complex(rule, map, address)?;
                let link = self.registers.architecture.return_address();
                (rule.is_signal, rule.registers.iter().any(|(register, _)| *register == link))
            }
            Rule::End => return Err(StopReason::EndOfStack),
            Rule::Bad => return Err(StopReason::BadTable { address, tag }),
            Rule::Missing => match self.trampoline_by_stack() {
                Some(rule) => {
                    self.complex(&rule, map, address)?;
                    (true, true)
                }
                None => return self.by_frame_pointer(map, address),
            },
        };
        if self.registers.architecture == Architecture::Aarch64 {
            // A function that called something has lost its own return address where it has not saved it.
            if !has_return_address && !self.is_exact {
                return Err(StopReason::NotUp { address, tag });
            }
            self.return_address_of_link(is_signal, address)?;
        }
        self.is_exact = is_signal;
        Ok(FoundBy::Table)
    }

    #[inline]
    fn map_at(&self, address: u64) -> Result<Option<&'u ModuleMap>, StopReason> {
        match self.modules.find(address) {
            Found::Map(map) => Ok(Some(map)),
            Found::Nothing => Ok(None),
            Found::Unknown => Err(StopReason::Unknown { address }),
        }
    }

    fn register(&self, number: u8) -> Result<u64, StopReason> {
        self.registers.get(number).ok_or_else(|| match self.registers.is_cut(number) {
            true => StopReason::Cut,
            false => StopReason::NoRegister { number },
        })
    }

    /// Whether the caller's frame is further up. Only a function that was interrupted may have no frame at all.
    #[inline]
    fn check_up(&self, cfa: u64, address: u64, tag: u64) -> Result<(), StopReason> {
        let sp = self.registers.stack_pointer().unwrap_or(0);
        if cfa > sp || cfa == sp && self.is_exact { Ok(()) } else { Err(StopReason::NotUp { address, tag }) }
    }

    #[inline]
    fn simple(&mut self, rule: &SimpleRule, address: u64, tag: u64) -> Result<(), StopReason> {
        let architecture = self.registers.architecture;
        let (word, mask) = (architecture.word(), architecture.mask());
        let sp = self.registers.stack_pointer().unwrap_or(0);
        let base = self.register(rule.cfa_register)?;
        let cfa = base.wrapping_add_signed(rule.cfa_offset.into()) & mask;
        if !rule.is_signal {
            self.check_up(cfa, address, tag)?;
        }
        let saved = rule.registers.iter().zip(&rule.offsets).take(rule.count.into());
        for (register, offset) in saved {
            let at = cfa.wrapping_add_signed((*offset).into()) & mask;
            match self.stack.read(at, word) {
                Ok(value) => self.registers.set(*register, value),
                // Tables need not say that a register was taken off the stack again: it has its value.
                Err(_) if at < sp && *register != architecture.pc() => {}
                Err(why) if *register == architecture.return_address() => return Err(no_memory(why, at)),
                Err(why) => self.registers.forget(*register, why == NoMemory::Cut),
            }
        }
        self.registers.set(architecture.sp(), cfa);
        Ok(())
    }

    /// All values are those before the step, so that they are found first and set then.
    #[cold]
    #[inline(never)]
    fn complex(&mut self, rule: &ComplexRule, map: &ModuleMap, address: u64) -> Result<(), StopReason> {
        let architecture = self.registers.architecture;
        let sp = self.registers.stack_pointer().unwrap_or(0);
        let cfa = self.value(&rule.cfa, None, map).map_err(|stop| stop.at(address, map.tag))?;
        let cfa = cfa & architecture.mask();
        let mut caller = self.registers.clone();
        caller.set(architecture.sp(), cfa);
        for (register, rule) in &rule.registers {
            match self.value(rule, Some(cfa), map) {
                Ok(value) => caller.set(*register, value),
                Err(NoValue::Stop(StopReason::OtherMemory { address }))
                    if address < sp && *register != architecture.pc() && *register != architecture.sp() => {}
                Err(stop) if *register == architecture.return_address() || *register == architecture.sp() => {
                    return Err(stop.at(address, map.tag));
                }
                Err(stop) => caller.forget(*register, matches!(stop, NoValue::Stop(StopReason::Cut))),
            }
        }
        if !rule.is_signal {
            self.check_up(caller.stack_pointer().unwrap_or(cfa), address, map.tag)?;
        }
        // A trampoline of aarch64 has the address of what was interrupted beside its link register.
        let has_pc = rule.registers.iter().any(|(register, _)| *register == architecture.pc());
        if rule.is_signal && architecture == Architecture::Aarch64 && !has_pc {
            caller.forget(architecture.pc(), false);
        }
        self.registers = caller;
        Ok(())
    }

    fn value(&self, rule: &ValueRule, cfa: Option<u64>, map: &ModuleMap) -> Result<u64, NoValue> {
        let architecture = self.registers.architecture;
        let at = |address: u64| {
            let address = address & architecture.mask();
            let memory = self.memory(address, architecture.word(), map);
            memory.map_err(|why| NoValue::Stop(no_memory(why, address)))
        };
        let register = |number| self.register(number).map_err(NoValue::Stop);
        let expression = |expression: &crate::expression::StoredExpression| {
            let mut world = World { unwinder: self, map, stop: None };
            expression.evaluate(cfa, &mut world).ok_or_else(|| world.stop.map_or(NoValue::Bad, NoValue::Stop))
        };
        match rule {
            ValueRule::Undefined => Err(NoValue::Bad),
            ValueRule::AtCfa(offset) => at(cfa.ok_or(NoValue::Bad)?.wrapping_add_signed(*offset)),
            ValueRule::CfaPlus(offset) => Ok(cfa.ok_or(NoValue::Bad)?.wrapping_add_signed(*offset)),
            ValueRule::Plus(number, offset) => Ok(register(*number)?.wrapping_add_signed(*offset)),
            ValueRule::At(number, offset) => at(register(*number)?.wrapping_add_signed(*offset)),
            ValueRule::Expression(bytes) => expression(bytes),
            ValueRule::AtExpression(bytes) => at(expression(bytes)?),
            ValueRule::Constant(value) => Ok(*value),
        }
    }

    /// A number in memory: in the recorded stack, otherwise in what the module's file has for reading alone.
    fn memory(&self, address: u64, size: u8, map: &ModuleMap) -> Result<u64, NoMemory> {
        self.stack.read(address, size).or_else(|why| {
            let module = map.module.as_ref().ok_or(why)?;
            let own = address.wrapping_sub(map.bias) & self.registers.architecture.mask();
            let bytes = module.constant_bytes(own, size.into()).ok_or(why)?;
            let order = match module.order() {
                RunTimeEndian::Little => ByteOrder::Little,
                RunTimeEndian::Big => ByteOrder::Big,
            };
            Ok(number(bytes, order))
        })
    }

    fn trampoline_by_stack(&self) -> Option<ComplexRule> {
        known_code::trampoline_by_stack(
            self.registers.architecture,
            self.stack,
            self.registers.stack_pointer()?,
        )
    }

    /// The next address of aarch64 is what the link register has, unless a trampoline told it.
    fn return_address_of_link(&mut self, is_signal: bool, address: u64) -> Result<(), StopReason> {
        let architecture = self.registers.architecture;
        if is_signal && self.registers.pc().is_some_and(|pc| pc != address) {
            return Ok(());
        }
        let link = self.register(architecture.return_address())?;
        self.registers.set(architecture.pc(), self.without_authentication(link)?);
        Ok(())
    }

    /// A return address without the code that pointer authentication puts in its upper bits: addresses of processes have
    /// 48 bits, or 52 where something is mapped there.
    fn without_authentication(&self, address: u64) -> Result<u64, StopReason> {
        let [small, large] = [48, 52].map(|bits| address & ((1 << bits) - 1));
        Ok(if small != large && self.map_at(large)?.is_some() { large } else { small })
    }

    /// The step of code that keeps the frame pointer, as compilers make it: the caller's frame pointer and the return
    /// address stand where it points.
    fn by_frame_pointer(&mut self, map: &ModuleMap, address: u64) -> Result<FoundBy, StopReason> {
        let tag = map.tag;
        let stop = match map.is_unusable {
            true => StopReason::Unusable { address, tag },
            false => StopReason::NoTable { address, tag },
        };
        let architecture = self.registers.architecture;
        let word = architecture.word();
        let (Some(sp), Some(fp)) = (self.registers.stack_pointer(), self.registers.get(architecture.fp()))
        else {
            return Err(stop);
        };
        if fp < sp || fp % u64::from(word) != 0 || !self.stack.contains(fp) {
            return Err(stop);
        }
        let read = |at| self.stack.read(at, word).map_err(|why| no_memory(why, at));
        let return_at = fp.wrapping_add(word.into());
        let (caller_fp, mut next) = (read(fp)?, read(return_at)?);
        if architecture == Architecture::Aarch64 {
            next = self.without_authentication(next)?;
        }
        if next == 0 {
            return Err(StopReason::EndOfStack);
        }
        if self.map_at(next.wrapping_sub(1))?.is_none() {
            return Err(stop);
        }
        self.registers.set(architecture.fp(), caller_fp);
        self.registers.set(architecture.return_address(), next);
        self.registers.set(architecture.pc(), next);
        self.registers.set(architecture.sp(), return_at.wrapping_add(word.into()));
        self.is_exact = false;
        Ok(FoundBy::FramePointer)
    }
}

/// Why a value is not known.
enum NoValue {
    Stop(StopReason),
    /// The table says what cannot be.
    Bad,
}

impl NoValue {
    fn at(self, address: u64, tag: u64) -> StopReason {
        match self {
            Self::Stop(stop) => stop,
            Self::Bad => StopReason::BadTable { address, tag },
        }
    }
}

/// What expressions see of a stack.
struct World<'w> {
    unwinder: &'w Unwinder<'w>,
    map: &'w ModuleMap,
    /// What was asked for and is not there.
    stop: Option<StopReason>,
}

impl ExpressionWorld for World<'_> {
    fn register(&mut self, number: u16) -> Option<u64> {
        let value = u8::try_from(number).ok().map(|number| self.unwinder.register(number))?;
        value.map_err(|stop| self.stop = Some(stop)).ok()
    }

    fn memory(&mut self, address: u64, size: u8) -> Option<u64> {
        let value = self.unwinder.memory(address, size, self.map);
        value.map_err(|why| self.stop = Some(no_memory(why, address))).ok()
    }

    fn relocate(&mut self, address: u64) -> u64 {
        address.wrapping_add(self.map.bias) & self.unwinder.registers.architecture.mask()
    }
}
