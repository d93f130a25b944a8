//! A budget of work: work for one record beyond a constant is paid for with steps that the records before it have
//! earned.
//!
//! A map that lies over thousands of others, or goes on to thousands of children, is rare and its work is done. A
//! stream of nothing else would take time that grows with its square. So each record earns some steps, steps that are
//! not used are saved up to a bound, and a record whose work costs more than is there is left undone.
//! [`Work::is_exhausted`] stays true from then on, and all DSOs that are mapped count as hit, so that no id is ever
//! missing.

/// A budget of steps.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    steps: u64,
    at_most: u64,
    exhausted: bool,
}

impl Work {
    /// A budget that is full.
    pub(crate) fn new(at_most: u64) -> Self {
        Self { steps: at_most, at_most, exhausted: false }
    }

    /// Adds steps, up to the bound.
    #[inline]
    pub(crate) fn earn(&mut self, steps: u64) {
        self.steps = self.steps.saturating_add(steps).min(self.at_most);
    }

    /// Takes steps; `false` where there are not as many, and then none are taken and the budget is exhausted for good.
    #[inline]
    pub(crate) fn spend(&mut self, steps: u64) -> bool {
        match self.steps.checked_sub(steps) {
            Some(left) => {
                self.steps = left;
                true
            }
            None => {
                self.exhausted = true;
                false
            }
        }
    }

    /// Whether something had to be left undone.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_earned_can_be_spent_and_no_more() {
        let mut work = Work::new(10);
        assert!(work.spend(10));
        work.earn(3);
        assert!(work.spend(3) && !work.is_exhausted());
        work.earn(4);
        assert!(!work.spend(5) && work.is_exhausted());
        assert!(work.spend(4), "what is there can still be spent");
        work.earn(100);
        assert!(work.spend(10) && !work.spend(1), "no more than there is room for is saved");
    }
}
