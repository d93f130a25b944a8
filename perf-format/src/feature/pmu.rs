//! The features that describe PMUs: their types, what they can do, and the CPUs of each on a hybrid machine.

use std::fmt;

use bstr::BString;

use super::read::{FeatureParts, Part};

/// A PMU of PMU_MAPPINGS: the name of a type that the kernel gave out as it booted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PmuMapping {
    /// The type that attrs have, `EventType::Pmu` and the ones that are fixed.
    pub pmu: u32,
    /// The name under `/sys/bus/event_source/devices`.
    pub name: BString,
}

impl PmuMapping {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { pmu: parts.word("PMU")?, name: parts.text("name of a PMU")? })
    }
}

impl fmt::Display for PmuMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name, self.pmu)
    }
}

/// What a PMU can do, of CPU_PMU_CAPS and PMU_CAPS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PmuCaps {
    /// The PMU's name.
    pub pmu: BString,
    /// What sysfs has in its folder `caps`, by name: `branches` is `32`.
    pub caps: Vec<(BString, BString)>,
}

impl PmuCaps {
    fn read_caps(parts: &mut FeatureParts<'_>) -> Part<Vec<(BString, BString)>> {
        parts.list("count of capabilities", |parts| {
            Ok((parts.text("name of a capability")?, parts.text("value of a capability")?))
        })
    }

    pub(super) fn read_of_cpu(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { caps: Self::read_caps(parts)?, pmu: "cpu".into() })
    }

    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { caps: Self::read_caps(parts)?, pmu: parts.text("name of a PMU")? })
    }
}

impl fmt::Display for PmuCaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pmu capabilities: ", self.pmu)?;
        if self.caps.is_empty() {
            return f.write_str("not available");
        }
        for (index, (name, value)) in self.caps.iter().enumerate() {
            write!(f, "{}{name}={value}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// A PMU of HYBRID_TOPOLOGY: the CPUs of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HybridPmu {
    /// The PMU's name.
    pub pmu: BString,
    /// Its CPUs, as `0-3,8`.
    pub cpus: BString,
}

impl HybridPmu {
    pub(super) fn read(parts: &mut FeatureParts<'_>) -> Part<Self> {
        Ok(Self { pmu: parts.text("name of a PMU")?, cpus: parts.text("CPUs of a PMU")? })
    }
}

impl fmt::Display for HybridPmu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cpu list : {}", self.pmu, self.cpus)
    }
}
