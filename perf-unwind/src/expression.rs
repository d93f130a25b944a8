//! DWARF expressions of unwinding tables: kept, and evaluated against registers and memory.

use gimli::{
    Encoding, EndianSlice, EvaluationResult, Expression, Operation, Reader as _, RunTimeEndian, Value,
};

use crate::limits::{EXPRESSION_AT_MOST, EXPRESSION_STEPS_AT_MOST};
use crate::rule::ValueRule;

type Slice<'d> = EndianSlice<'d, RunTimeEndian>;

/// An expression, out of its table.
#[derive(Debug, Clone)]
pub(crate) struct StoredExpression {
    bytes: Box<[u8]>,
    order: RunTimeEndian,
    encoding: Encoding,
    short: Option<Short>,
}

/// What nearly all expressions of signal trampolines are.
#[derive(Debug, Clone, Copy)]
enum Short {
    /// A register and an offset.
    Plus(u8, i64),
    /// What is saved there.
    At(u8, i64),
}

/// What an expression may ask for.
pub(crate) trait ExpressionWorld {
    /// A register's value.
    fn register(&mut self, number: u16) -> Option<u64>;
    /// The number of `size` bytes, at most eight, at an address.
    fn memory(&mut self, address: u64, size: u8) -> Option<u64>;
    /// An address as the module has it, where it is mapped.
    fn relocate(&mut self, address: u64) -> u64;
}

/// The memory of an evaluation: no expression of tables is known that needs a tenth of it.
struct FixedStorage;

impl<'d> gimli::EvaluationStorage<Slice<'d>> for FixedStorage {
    type Stack = [Value; 64];
    type ExpressionStack = [(Slice<'d>, Slice<'d>); 1];
    type Result = [gimli::Piece<Slice<'d>>; 1];
}

impl StoredExpression {
    /// Copies an expression, unless it is longer than any.
    pub(crate) fn new(expression: Expression<Slice<'_>>, encoding: Encoding) -> Option<Self> {
        let reader = expression.0;
        if reader.len() > EXPRESSION_AT_MOST {
            return None;
        }
        let short = short(expression, encoding);
        Some(Self { bytes: reader.slice().into(), order: reader.endian(), encoding, short })
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The rule of a value that is what it gives.
    pub(crate) fn value(self) -> ValueRule {
        match self.short {
            Some(Short::Plus(register, offset)) => ValueRule::Plus(register, offset),
            Some(Short::At(register, offset)) => ValueRule::At(register, offset),
            None => ValueRule::Expression(self),
        }
    }

    /// The rule of a value that is saved where it gives.
    pub(crate) fn at(self) -> ValueRule {
        match self.short {
            Some(Short::Plus(register, offset)) => ValueRule::At(register, offset),
            _ => ValueRule::AtExpression(self),
        }
    }

    /// Evaluates it; the expressions of registers start with the CFA on their stack. `None` where it is damaged or asks for what
    /// is not there.
    pub(crate) fn evaluate(&self, cfa: Option<u64>, world: &mut impl ExpressionWorld) -> Option<u64> {
        let reader = EndianSlice::new(&self.bytes, self.order);
        let mut evaluation = gimli::Evaluation::<_, FixedStorage>::new_in(reader, self.encoding);
        evaluation.set_max_iterations(EXPRESSION_STEPS_AT_MOST);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, base_type } if base_type.0 == 0 => {
                    let value = world.register(register.0)?;
                    evaluation.resume_with_register(Value::Generic(value)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size, space: None, base_type }
                    if base_type.0 == 0 && size <= 8 =>
                {
                    let value = world.memory(address, size)?;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                EvaluationResult::RequiresRelocatedAddress(address) => {
                    let address = world.relocate(address);
                    evaluation.resume_with_relocated_address(address).ok()?
                }
                EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(cfa?).ok()?,
                _ => return None,
            };
        }
        let [gimli::Piece { location: gimli::Location::Address { address }, .. }] = *evaluation.as_result()
        else {
            return None;
        };
        Some(address)
    }
}

/// The short form of an expression, if it has one.
fn short(expression: Expression<Slice<'_>>, encoding: Encoding) -> Option<Short> {
    let mut operations = expression.operations(encoding);
    let Ok(Some(Operation::RegisterOffset { register, offset, base_type })) = operations.next() else {
        return None;
    };
    let register = u8::try_from(register.0).ok().filter(|number| *number < crate::registers::COUNT)?;
    if base_type.0 != 0 {
        return None;
    }
    match (operations.next(), operations.next()) {
        (Ok(None), _) => Some(Short::Plus(register, offset)),
        (Ok(Some(Operation::Deref { base_type, size, space: false })), Ok(None))
            if base_type.0 == 0 && size == encoding.address_size =>
        {
            Some(Short::At(register, offset))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Register n has the value 1000 n, the memory at an address that address plus 1.
    struct Made;

    impl ExpressionWorld for Made {
        fn register(&mut self, number: u16) -> Option<u64> {
            (number < 17).then_some(1000 * u64::from(number))
        }

        fn memory(&mut self, address: u64, _: u8) -> Option<u64> {
            Some(address + 1)
        }

        fn relocate(&mut self, address: u64) -> u64 {
            address
        }
    }

    const ENCODING: Encoding = Encoding { format: gimli::Format::Dwarf32, version: 4, address_size: 8 };

    fn stored(bytes: &[u8]) -> StoredExpression {
        StoredExpression::new(Expression(EndianSlice::new(bytes, RunTimeEndian::Little)), ENCODING).unwrap()
    }

    fn value(bytes: &[u8], cfa: Option<u64>) -> Option<u64> {
        stored(bytes).evaluate(cfa, &mut Made)
    }

    #[test]
    fn the_expression_of_procedure_linkage_tables_is_evaluated() {
        // rsp + 8 + ((rip & 15) >= 11) << 3, with rip = 16000 = 16 * 1000.
        let plt = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(value(&plt, None), Some(7008));
        let plt = [0x77, 8, 0x80, 11, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(value(&plt, None), Some(7016));
    }

    #[test]
    fn expressions_of_a_register_and_an_offset_need_no_evaluation() {
        assert!(matches!(stored(&[0x77, 8]).value(), ValueRule::Plus(7, 8)));
        assert!(matches!(stored(&[0x77, 8]).at(), ValueRule::At(7, 8)));
        assert!(matches!(stored(&[0x77, 0xa0, 1, 6]).value(), ValueRule::At(7, 160)));
        assert!(matches!(stored(&[0x77, 8, 6, 6]).value(), ValueRule::Expression(_)));
    }

    #[test]
    fn memory_and_the_cfa_are_asked_for() {
        // The CFA, minus 8, dereferenced.
        assert_eq!(value(&[0x38, 0x1c, 6], Some(100)), Some(93));
        assert_eq!(value(&[0x38, 0x1c, 6], None), None);
    }

    #[test]
    fn an_expression_that_loops_or_asks_for_what_is_not_there_has_no_value() {
        // lit0, skip -4.
        assert_eq!(value(&[0x30, 0x2f, 0xfc, 0xff], None), None);
        assert_eq!(value(&[0x2f, 0xfd, 0xff], None), None);
        // More on the stack than it has room for.
        assert_eq!(value(&[0x30; 500], None), None);
        assert_eq!(value(&[0x90, 0x7f, 0], None), None);
        assert_eq!(value(&[], None), None);
        assert_eq!(value(&[0xff, 0xff], None), None);
    }
}
