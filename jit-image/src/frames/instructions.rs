//! Instructions of unwinding information, from what is read to what is written: the same ones, or nothing. Numbers
//! that have no room in what is written, and pointers, which would have to move, end it.

use gimli::write::{CallFrameInstruction, Expression};
use gimli::{EhFrame, EndianSlice, Operation, RunTimeEndian};

type Bytes<'a> = EndianSlice<'a, RunTimeEndian>;
pub(super) type EhFrameSection<'a> = EhFrame<Bytes<'a>>;
pub(super) type Cie<'a> = gimli::CommonInformationEntry<Bytes<'a>>;
pub(super) type Instruction = gimli::CallFrameInstruction<usize>;

/// Where an instruction moves to, in bytes from the start of the function, if it is one that moves. `None` where it
/// cannot be rewritten.
pub(super) fn advanced(
    instruction: &Instruction,
    cie: &Cie<'_>,
    start: u64,
    offset: u32,
) -> Option<Option<u32>> {
    let factor = u32::try_from(cie.code_alignment_factor()).ok()?;
    match *instruction {
        Instruction::AdvanceLoc { delta } => offset.checked_add(delta.checked_mul(factor)?).map(Some),
        Instruction::SetLoc { address } => {
            let next = u32::try_from(address.checked_sub(start)?).ok()?;
            let steps = next.checked_sub(offset)?;
            (steps.checked_rem(factor)? == 0).then_some(Some(next))
        }
        _ => Some(None),
    }
}

/// The same instruction for the writer. `None` where it cannot be rewritten.
pub(super) fn rewrite(
    instruction: &Instruction,
    cie: &Cie<'_>,
    section: &EhFrameSection<'_>,
) -> Option<CallFrameInstruction> {
    let factored = |offset: i64| number(offset.checked_mul(cie.data_alignment_factor())?);
    let unsigned = |offset: u64| i64::try_from(offset).ok();
    Some(match *instruction {
        Instruction::DefCfa { register, offset } => {
            CallFrameInstruction::Cfa(register, number(unsigned(offset)?)?)
        }
        Instruction::DefCfaSf { register, factored_offset } => {
            CallFrameInstruction::Cfa(register, factored(factored_offset)?)
        }
        Instruction::DefCfaRegister { register } => CallFrameInstruction::CfaRegister(register),
        Instruction::DefCfaOffset { offset } => CallFrameInstruction::CfaOffset(number(unsigned(offset)?)?),
        Instruction::DefCfaOffsetSf { factored_offset } => {
            CallFrameInstruction::CfaOffset(factored(factored_offset)?)
        }
        Instruction::DefCfaExpression { expression } => {
            CallFrameInstruction::CfaExpression(copied(&expression.get(section).ok()?, cie)?)
        }
        Instruction::Undefined { register } => CallFrameInstruction::Undefined(register),
        Instruction::SameValue { register } => CallFrameInstruction::SameValue(register),
        Instruction::Offset { register, factored_offset } => {
            CallFrameInstruction::Offset(register, factored(unsigned(factored_offset)?)?)
        }
        Instruction::OffsetExtendedSf { register, factored_offset } => {
            CallFrameInstruction::Offset(register, factored(factored_offset)?)
        }
        Instruction::ValOffset { register, factored_offset } => {
            CallFrameInstruction::ValOffset(register, factored(unsigned(factored_offset)?)?)
        }
        Instruction::ValOffsetSf { register, factored_offset } => {
            CallFrameInstruction::ValOffset(register, factored(factored_offset)?)
        }
        Instruction::Register { dest_register, src_register } => {
            CallFrameInstruction::Register(dest_register, src_register)
        }
        Instruction::Expression { register, expression } => {
            CallFrameInstruction::Expression(register, copied(&expression.get(section).ok()?, cie)?)
        }
        Instruction::ValExpression { register, expression } => {
            CallFrameInstruction::ValExpression(register, copied(&expression.get(section).ok()?, cie)?)
        }
        Instruction::Restore { register } => CallFrameInstruction::Restore(register),
        Instruction::RememberState => CallFrameInstruction::RememberState,
        Instruction::RestoreState => CallFrameInstruction::RestoreState,
        Instruction::ArgsSize { size } => CallFrameInstruction::ArgsSize(u32::try_from(size).ok()?),
        Instruction::NegateRaState => CallFrameInstruction::NegateRaState,
        // `advanced` has handled the instructions that advance the location, and a CIE, which holds for all of a
        // function, can have none.
        _ => return None,
    })
}

/// An offset that the writer can divide by any factor.
fn number(offset: i64) -> Option<i32> {
    // The lowest number divided by -1 is none.
    i32::try_from(offset).ok().filter(|offset| *offset != i32::MIN)
}

/// An expression's own bytes: what it does is not our matter, as long as it goes by registers, memory and constants,
/// which are the same in the image.
fn copied(expression: &gimli::Expression<Bytes<'_>>, cie: &Cie<'_>) -> Option<Expression> {
    let mut operations = expression.operations(cie.encoding());
    while let Some(operation) = operations.next().ok()? {
        match operation {
            Operation::Address { .. }
            | Operation::AddressIndex { .. }
            | Operation::ConstantIndex { .. }
            | Operation::Call { .. }
            | Operation::VariableValue { .. }
            | Operation::ImplicitPointer { .. }
            | Operation::EntryValue { .. }
            | Operation::ParameterRef { .. } => return None,
            _ => {}
        }
    }
    Some(Expression::raw(expression.0.to_vec()))
}
