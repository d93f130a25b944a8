//! The code of DSOs: the module of each, opened once, or why there is none.

use std::sync::Arc;

use bstr::BString;
use perf_session::dso::{Dso, DsoId, DsoKind, PerDso};
use perf_session::map::Map;
use perf_session::{Recording, Session};
use perf_unwind::{Code, Module};

use crate::jit::{JitTables, JittedCode};

use crate::limits::MODULES_AT_MOST;

/// Where the modules of DSOs come from.
pub trait UnwindModules {
    /// The module of a DSO.
    ///
    /// # Errors
    /// Why there is none: the file is not here, or is not the recorded one.
    fn module(&mut self, dso: &Dso, recording: &Recording) -> Result<Module, NoModule>;
}

/// Why a DSO has no module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoModule {
    /// The reason, for a person.
    pub reason: String,
    /// Whether it may have one when more of the recording is known.
    pub may_change: bool,
}

/// The modules of all DSOs.
pub(crate) struct CodeOfDsos {
    source: Box<dyn UnwindModules>,
    by_dso: PerDso<Known>,
    /// DSOs by their tags, which number them from 1 on.
    tagged: Vec<DsoId>,
    loaded: usize,
    /// DSOs whose modules are asked for again.
    doubted: Vec<DsoId>,
    /// The tables of jitted functions, where they are wanted.
    pub(super) jit: Option<JitTables>,
}

/// How often a module is asked for that may be there later: it is known after some rounds where a recording was made.
const ASKED_AT_MOST: u8 = 8;

/// What is known of a DSO.
#[derive(Debug, Clone, Default)]
struct Known {
    tag: u64,
    code: Loaded,
    /// How often it was asked for.
    asked: u8,
}

#[derive(Debug, Clone, Default)]
enum Loaded {
    #[default]
    NotAsked,
    Module(Arc<Module>),
    NoTables,
    Unusable(String),
}

impl CodeOfDsos {
    pub(crate) fn new(source: Box<dyn UnwindModules>, jit: Option<JitTables>) -> Self {
        Self { source, by_dso: PerDso::default(), tagged: Vec::new(), loaded: 0, doubted: Vec::new(), jit }
    }

    /// The jitted function at an address.
    pub(super) fn jitted(
        &mut self,
        pid: i32,
        address: u64,
        time: Option<u64>,
        session: &Session,
    ) -> Option<JittedCode> {
        self.jit.as_mut()?.code_at(pid, address, time?, session)
    }

    /// What stands in a map, `from` bytes behind its start, and the tag of its DSO.
    pub(super) fn of_map(&mut self, map: &Map, from: u64, session: &Session) -> (Code, u64) {
        let Known { tag, code, .. } = self.load(map.dso, session);
        let code = match code {
            Loaded::Module(module) => {
                Code::Module { module: Arc::clone(module), offset: map.pgoff.wrapping_add(from) }
            }
            Loaded::NoTables | Loaded::NotAsked => Code::NoTables,
            Loaded::Unusable(_) => Code::Unusable,
        };
        (code, *tag)
    }

    /// Opens the file of a DSO, if it was not tried before.
    fn load(&mut self, id: DsoId, session: &Session) -> &Known {
        let Known { mut tag, ref code, asked } = *self.by_dso.of(id);
        if matches!(code, Loaded::NotAsked) {
            let code = match session.dso(id) {
                Some(dso) if dso.kind != DsoKind::Anonymous => self.open(id, dso, asked, session),
                Some(_) | None => Loaded::NoTables,
            };
            if tag == 0 {
                self.tagged.push(id);
                tag = self.tagged.len() as u64;
            }
            *self.by_dso.of(id) = Known { tag, code, asked: asked.saturating_add(1) };
        }
        self.by_dso.of(id)
    }

    /// Opens the file of a DSO now: it may be gone when a stack leads to it.
    pub(super) fn load_early(&mut self, id: DsoId, session: &Session) {
        if session.dso(id).is_some_and(|dso| !dso.kind.is_kernel()) {
            self.load(id, session);
        }
    }

    /// Forgets of the DSOs that may have a module by now that they had none. Whether there were any.
    pub(super) fn forget_doubted(&mut self) -> bool {
        let had_any = !self.doubted.is_empty();
        for id in std::mem::take(&mut self.doubted) {
            self.by_dso.of(id).code = Loaded::NotAsked;
        }
        had_any
    }

    fn open(&mut self, id: DsoId, dso: &Dso, asked: u8, session: &Session) -> Loaded {
        if self.loaded >= MODULES_AT_MOST {
            return Loaded::Unusable("too many files are mapped".to_owned());
        }
        match self.source.module(dso, &session.recording) {
            Ok(module) => {
                self.loaded += 1;
                let tables: Vec<_> = module.tables().collect();
                match tables.as_slice() {
                    [] => log::info!("{}: it has no unwinding tables", dso.name),
                    tables => log::info!("{}: {}", dso.name, tables.join(", ")),
                }
                Loaded::Module(Arc::new(module))
            }
            Err(NoModule { may_change: true, reason }) if asked < ASKED_AT_MOST => {
                self.doubted.push(id);
                Loaded::Unusable(reason)
            }
            Err(NoModule { reason, .. }) => {
                log::info!("{}: its stacks are not unwound by tables: {reason}", dso.name);
                Loaded::Unusable(reason)
            }
        }
    }

    /// The name of the DSO with a tag, and why its file could not be used.
    pub(super) fn described(&mut self, tag: u64, session: &Session) -> Option<(BString, Option<String>)> {
        let at = usize::try_from(tag.checked_sub(1)?).ok()?;
        let id = *self.tagged.get(at)?;
        let reason = match &self.by_dso.of(id).code {
            Loaded::Unusable(reason) => Some(reason.clone()),
            _ => None,
        };
        Some((session.dso(id)?.name.clone(), reason))
    }

    /// How many files were loaded.
    pub(super) fn loaded(&self) -> usize {
        self.loaded
    }

    /// The same of nothing that was seen yet, for another pass.
    pub(super) fn again(self) -> Self {
        Self::new(self.source, self.jit.map(JitTables::again))
    }
}
