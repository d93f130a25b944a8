//! Rules: how the registers of a caller follow from those of the function that it called, at one address. A row of a
//! table is decoded into one once; nearly all are of a kind that takes a few reads of the stack.

use gimli::{
    BaseAddresses, CfaRule, EndianSlice, FrameDescriptionEntry, RegisterRule, RunTimeEndian, UnwindContext,
    UnwindContextStorage, UnwindExpression, UnwindSection, UnwindTableRow,
};

use crate::architecture::Architecture;
use crate::expression::StoredExpression;
use crate::registers;

type Slice<'d> = EndianSlice<'d, RunTimeEndian>;

/// How many registers a simple rule restores: aarch64 preserves twelve, with the frame pointer and the return address.
pub(crate) const SIMPLE_AT_MOST: usize = 12;

/// What is known of an address.
#[derive(Debug, Clone, Default)]
pub(crate) enum Rule {
    /// No table covers it.
    #[default]
    Missing,
    /// The table there cannot be read, or says what cannot be.
    Bad,
    /// The function there has no caller.
    End,
    Simple(SimpleRule),
    Complex(Box<ComplexRule>),
}

/// The CFA is a register and an offset, and registers are saved at offsets from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SimpleRule {
    pub(crate) cfa_offset: i32,
    pub(crate) cfa_register: u8,
    pub(crate) is_signal: bool,
    /// Whether the return address is one of what is saved: on aarch64 it may still be in its register.
    pub(crate) has_return_address: bool,
    pub(crate) count: u8,
    pub(crate) registers: [u8; SIMPLE_AT_MOST],
    pub(crate) offsets: [i16; SIMPLE_AT_MOST],
}

/// Any other rule.
#[derive(Debug, Clone)]
pub(crate) struct ComplexRule {
    pub(crate) is_signal: bool,
    pub(crate) cfa: ValueRule,
    /// What is not here keeps its value, but for the stack pointer, which becomes the CFA.
    pub(crate) registers: Vec<(u8, ValueRule)>,
}

/// How one value is found. Those that speak of the CFA are not for the CFA itself.
#[derive(Debug, Clone)]
pub(crate) enum ValueRule {
    /// It is lost.
    Undefined,
    /// It is saved at a distance from the CFA.
    AtCfa(i64),
    /// It is the CFA and an offset.
    CfaPlus(i64),
    /// It is a register and an offset.
    Plus(u8, i64),
    /// It is saved at a register and an offset.
    At(u8, i64),
    /// It is what an expression gives.
    Expression(StoredExpression),
    /// It is saved at what an expression gives.
    AtExpression(StoredExpression),
    /// It is always this.
    Constant(u64),
}

/// The memory of decoding. gimli's own has room for 192 registers and four remembered rows; tables of these architectures
/// use fewer of the one, and nothing says that they never use more of the other.
struct RowStorage;

impl UnwindContextStorage<usize> for RowStorage {
    type Rules = [(gimli::Register, RegisterRule<usize>); 48];
    type Stack = Box<[UnwindTableRow<usize, Self>; 8]>;
}

/// What decoding rows needs memory for, and what it leaves behind.
#[derive(Default)]
pub(crate) struct RowContext {
    unwind: UnwindContext<usize, RowStorage>,
    /// The start and the end of the function whose row was decoded last.
    pub(crate) function_start: u64,
    pub(crate) function_end: u64,
}

impl std::fmt::Debug for RowContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowContext").field("function_end", &self.function_end).finish_non_exhaustive()
    }
}

impl Rule {
    /// Decodes the row of a function's entry for an address.
    pub(crate) fn of_fde<'d, S: UnwindSection<Slice<'d>>>(
        architecture: Architecture,
        section: &S,
        bases: &BaseAddresses,
        fde: &FrameDescriptionEntry<Slice<'d>>,
        address: u64,
        context: &mut RowContext,
    ) -> Self {
        (context.function_start, context.function_end) = (fde.initial_address(), fde.end_address());
        let row = match fde.unwind_info_for_address(section, bases, &mut context.unwind, address) {
            Ok(row) => row,
            Err(gimli::Error::NoUnwindInfoForAddress) => return Self::Missing,
            Err(_) => return Self::Bad,
        };
        let return_address = architecture.return_address();
        if fde.cie().return_address_register().0 != return_address.into() {
            return Self::Bad;
        }
        let is_signal = fde.is_signal_trampoline();
        if let Some(simple) = SimpleRule::of_row(architecture, row, is_signal) {
            return Self::Simple(simple);
        }
        let decode = Decode { section, encoding: fde.cie().encoding() };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => match kept(register.0) {
                Some(register) => ValueRule::Plus(register, *offset),
                None => return Self::Bad,
            },
            CfaRule::Expression(expression) => match decode.expression(expression) {
                Some(expression) => expression.value(),
                None => return Self::Bad,
            },
        };
        // On x86 a return address is what is saved, and no register that may keep its value.
        let mut has_return_address = architecture == Architecture::Aarch64;
        let mut registers = Vec::new();
        for (register, rule) in row.registers() {
            let Some(register) = kept(register.0) else { continue };
            let is_return_address = register == return_address;
            match decode.register(rule) {
                Some(ValueRule::Undefined) if is_return_address => return Self::End,
                Some(rule) => registers.push((register, rule)),
                None if matches!(rule, RegisterRule::SameValue) => continue,
                None => return Self::Bad,
            }
            has_return_address |= is_return_address;
        }
        if !has_return_address {
            return Self::Bad;
        }
        Self::Complex(Box::new(ComplexRule { is_signal, cfa, registers }))
    }
}

/// The number of a register, if it is one of those that are kept.
fn kept(number: u16) -> Option<u8> {
    u8::try_from(number).ok().filter(|number| *number < registers::COUNT)
}

/// What expressions are decoded with.
struct Decode<'s, S> {
    section: &'s S,
    encoding: gimli::Encoding,
}

impl<'d, S: UnwindSection<Slice<'d>>> Decode<'_, S> {
    fn expression(&self, expression: &UnwindExpression<usize>) -> Option<StoredExpression> {
        StoredExpression::new(expression.get(self.section).ok()?, self.encoding)
    }

    /// `None` where it keeps its value, or cannot be known.
    fn register(&self, rule: &RegisterRule<usize>) -> Option<ValueRule> {
        Some(match rule {
            RegisterRule::Undefined => ValueRule::Undefined,
            RegisterRule::Offset(offset) => ValueRule::AtCfa(*offset),
            RegisterRule::ValOffset(offset) => ValueRule::CfaPlus(*offset),
            RegisterRule::Register(register) => ValueRule::Plus(kept(register.0)?, 0),
            RegisterRule::Expression(expression) => self.expression(expression)?.at(),
            RegisterRule::ValExpression(expression) => self.expression(expression)?.value(),
            RegisterRule::Constant(value) => ValueRule::Constant(*value),
            _ => return None,
        })
    }
}

impl SimpleRule {
    /// The CFA is a register and an offset, and no register is saved.
    pub(crate) fn of_cfa(cfa_register: u8, cfa_offset: i32) -> Self {
        Self {
            cfa_offset,
            cfa_register,
            is_signal: false,
            has_return_address: false,
            count: 0,
            registers: [0; SIMPLE_AT_MOST],
            offsets: [0; SIMPLE_AT_MOST],
        }
    }

    /// The rule of a row, if it is simple: nearly all are.
    fn of_row(
        architecture: Architecture,
        row: &UnwindTableRow<usize, RowStorage>,
        is_signal: bool,
    ) -> Option<Self> {
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return None };
        let mut simple = Self::of_cfa(kept(register.0)?, i32::try_from(*offset).ok()?);
        simple.is_signal = is_signal;
        for (register, rule) in row.registers() {
            let Some(register) = kept(register.0) else { continue };
            let RegisterRule::Offset(offset) = rule else { return None };
            if register == architecture.sp() {
                return None;
            }
            simple.has_return_address |= register == architecture.return_address();
            simple.push(register, i16::try_from(*offset).ok()?)?;
        }
        (simple.has_return_address || architecture == Architecture::Aarch64).then_some(simple)
    }

    /// Adds a register that is saved at an offset from the CFA. `None` where there is no room for it.
    pub(crate) fn push(&mut self, register: u8, offset: i16) -> Option<()> {
        let at = usize::from(self.count);
        *self.registers.get_mut(at)? = register;
        *self.offsets.get_mut(at)? = offset;
        self.count += 1;
        Some(())
    }
}

impl ComplexRule {
    /// About how many bytes it has.
    pub(crate) fn bytes(&self) -> usize {
        let values = self.registers.iter().map(|(_, value)| value).chain([&self.cfa]);
        values.map(|value| size_of::<(u8, ValueRule)>() + value.expression_len()).sum::<usize>()
            + size_of::<Self>()
    }
}

impl ValueRule {
    fn expression_len(&self) -> usize {
        match self {
            Self::Expression(expression) | Self::AtExpression(expression) => expression.len(),
            _ => 0,
        }
    }
}
