//! Names: a symbol for each function.

use object::elf::{STB_LOCAL, STT_FUNC, SymbolInfo, SymbolOther, SymbolSection};
use object::write::elf::{Encoder, Sym};

use crate::error::ImageError;
use crate::function::Function;
use crate::layout::TEXT_INDEX;
use crate::target::Target;

/// The table of symbols and the names in it, as they stand in the file.
#[derive(Debug)]
pub(crate) struct Symbols {
    encoder: Encoder<object::Endianness>,
    pub(crate) table: Vec<u8>,
    pub(crate) names: Vec<u8>,
    /// Symbols in the table, the null symbol among them. All are local: names occur twice where a function was
    /// jitted twice, and nothing links with them.
    pub(crate) count: u32,
}

impl Symbols {
    pub(crate) fn new(target: Target) -> Self {
        let encoder = Encoder::new(target.object_endian(), target.is_64(), target.machine());
        let mut table = Vec::new();
        encoder.null_symbol(&mut table);
        Self { encoder, table, names: vec![0], count: 1 }
    }

    /// Adds a function.
    pub(crate) fn add(&mut self, function: &Function<'_>) -> Result<(), ImageError> {
        let count = self.count.checked_add(1).ok_or(ImageError::TooLarge)?;
        let name = up_to_nul(function.name);
        // The empty name is the one that the table of names begins with.
        let st_name = if name.is_empty() { 0 } else { self.names.len() };
        let symbol = Sym {
            section: None,
            st_name: u32::try_from(st_name).map_err(|_| ImageError::TooLarge)?,
            st_info: SymbolInfo::new(STB_LOCAL, STT_FUNC),
            st_other: SymbolOther(0),
            st_shndx: SymbolSection(TEXT_INDEX),
            st_value: function.offset,
            st_size: function.code.len() as u64,
        };
        self.encoder.symbol(&mut self.table, &symbol);
        if !name.is_empty() {
            self.names.extend_from_slice(name);
            self.names.push(0);
        }
        self.count = count;
        Ok(())
    }
}

/// A string as C has it.
pub(crate) fn up_to_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
