//! Times in pairs: each run of a program stands right behind one of what it is compared with, so that both saw the
//! same machine; then the median of the ratios says what one run's luck cannot.

use std::time::Duration;

use anyhow::Context as _;

use super::progress;

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// From the first start to the last end.
    pub(super) wall: Duration,
    /// User and system time of the program alone, whatever else stands in its pipeline.
    pub(super) cpu: Duration,
}

/// One run: what it took, or `None` where the program failed.
pub(super) type Run<'r> = Box<dyn FnMut() -> anyhow::Result<Option<Cost>> + 'r>;

/// A program in a comparison.
pub(super) struct Contender<'r> {
    pub(super) name: String,
    pub(super) rounds_at_most: usize,
    pub(super) run: Run<'r>,
}

/// The medians of a program's runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Timed {
    pub(super) seconds: f64,
    /// Its time in times of what stood before it.
    pub(super) ratio: f64,
    pub(super) cpu_seconds: f64,
    /// Its CPU time in times of that of what stood before it.
    pub(super) cpu_ratio: f64,
}

impl Timed {
    /// As figures, the ratios under these names. What is no number is left out: a run can be too short for the clock.
    pub(super) fn figures(&self, ratio: &'static str, cpu_ratio: &'static str) -> Vec<(&'static str, f64)> {
        let all = [
            ("s", self.seconds),
            (ratio, self.ratio),
            ("CPU s", self.cpu_seconds),
            (cpu_ratio, self.cpu_ratio),
        ];
        all.into_iter().filter(|(_, value)| value.is_finite()).collect()
    }
}

/// Runs the base and each contender in turn, round after round: the base's times, and for each contender its own,
/// or `None` where it failed.
pub(super) fn interleaved(
    rounds: usize,
    base: &mut Contender<'_>,
    contenders: &mut [Contender<'_>],
) -> anyhow::Result<(Timed, Vec<Option<Timed>>)> {
    let mut base_run = || (base.run)()?.with_context(|| format!("{} fails", base.name));
    // Once for nothing: it brings the file into memory.
    base_run()?;
    let mut alone = Vec::new();
    let mut pairs: Vec<Option<Vec<(Cost, Cost)>>> = vec![Some(Vec::new()); contenders.len()];
    for round in 0..rounds {
        for (contender, pairs) in contenders.iter_mut().zip(&mut pairs) {
            let Some(so_far) = pairs.as_mut().filter(|_| round < contender.rounds_at_most) else { continue };
            progress(&format!("round {} of {rounds}: {}", round + 1, contender.name));
            let before = base_run()?;
            alone.push((before, before));
            match (contender.run)()? {
                Some(took) => so_far.push((before, took)),
                None => *pairs = None,
            }
        }
    }
    Ok((medians(&alone), pairs.into_iter().map(|pairs| pairs.map(|pairs| medians(&pairs))).collect()))
}

fn medians(pairs: &[(Cost, Cost)]) -> Timed {
    let of = |figure: fn(&Cost) -> Duration| {
        let seconds = pairs.iter().map(|(_, cost)| figure(cost).as_secs_f64());
        let ratios =
            pairs.iter().map(|(before, cost)| figure(cost).as_secs_f64() / figure(before).as_secs_f64());
        (median(seconds.collect()), median(ratios.collect()))
    };
    let (wall, cpu) = (of(|cost| cost.wall), of(|cost| cost.cpu));
    Timed { seconds: wall.0, ratio: wall.1, cpu_seconds: cpu.0, cpu_ratio: cpu.1 }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half), values.len() % 2) {
        (None, _) => 0.0,
        (Some(middle), 1) => *middle,
        (Some(upper), _) => f64::midpoint(values[half - 1], *upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }

    fn cost(wall: u64, cpu: u64) -> Cost {
        Cost { wall: Duration::from_millis(wall), cpu: Duration::from_millis(cpu) }
    }

    #[test]
    fn ratios_are_of_pairs_and_not_of_medians() {
        // The machine became slower: every pair says 2, which the medians alone would not.
        let pairs = [(cost(10, 1), cost(20, 3)), (cost(20, 1), cost(40, 4)), (cost(400, 1), cost(800, 5))];
        let expected = Timed { seconds: 0.04, ratio: 2.0, cpu_seconds: 0.004, cpu_ratio: 4.0 };
        assert_eq!(medians(&pairs), expected);
    }

    #[test]
    fn a_ratio_to_nothing_is_no_figure() {
        let timed = medians(&[(cost(10, 0), cost(20, 3))]);
        let expected = [("s", 0.02), ("x cat", 2.0), ("CPU s", 0.003)];
        assert_eq!(timed.figures("x cat", "x cat's CPU"), expected);
    }

    #[test]
    fn a_contender_that_fails_has_no_times_and_the_others_do() {
        let took = |ms| -> Run<'static> { Box::new(move || Ok(Some(cost(ms, ms)))) };
        let contender = |name: &str, run| Contender { name: name.to_owned(), rounds_at_most: 2, run };
        let mut others = [contender("slow", took(30)), contender("broken", Box::new(|| Ok(None)))];
        let (base, timed) = interleaved(3, &mut contender("base", took(10)), &mut others).unwrap();
        assert_eq!((base.seconds, base.ratio), (0.01, 1.0));
        let slow = Timed { seconds: 0.03, ratio: 3.0, cpu_seconds: 0.03, cpu_ratio: 3.0 };
        assert_eq!(timed, [Some(slow), None]);
    }
}
