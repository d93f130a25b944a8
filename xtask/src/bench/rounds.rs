//! Times in pairs: each run of a program stands right behind one of what it is compared with, so that both saw the
//! same machine; then the median of the ratios says what one run's luck cannot.

use std::time::Duration;

use anyhow::Context as _;

use super::progress;

/// One run: how long it took, or `None` where the program failed.
pub(super) type Run<'r> = Box<dyn FnMut() -> anyhow::Result<Option<Duration>> + 'r>;

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
    let mut base_times = Vec::new();
    let mut pairs: Vec<Option<Vec<(Duration, Duration)>>> = vec![Some(Vec::new()); contenders.len()];
    for round in 0..rounds {
        for (contender, pairs) in contenders.iter_mut().zip(&mut pairs) {
            let Some(so_far) = pairs.as_mut().filter(|_| round < contender.rounds_at_most) else { continue };
            progress(&format!("round {} of {rounds}: {}", round + 1, contender.name));
            let before = base_run()?;
            base_times.push(before.as_secs_f64());
            match (contender.run)()? {
                Some(took) => so_far.push((before, took)),
                None => *pairs = None,
            }
        }
    }
    let base = Timed { seconds: median(base_times), ratio: 1.0 };
    Ok((base, pairs.into_iter().map(|pairs| pairs.map(|pairs| medians(&pairs))).collect()))
}

fn medians(pairs: &[(Duration, Duration)]) -> Timed {
    let seconds = pairs.iter().map(|(_, took)| took.as_secs_f64());
    let ratios = pairs.iter().map(|(before, took)| took.as_secs_f64() / before.as_secs_f64());
    Timed { seconds: median(seconds.collect()), ratio: median(ratios.collect()) }
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

    #[test]
    fn ratios_are_of_pairs_and_not_of_medians() {
        let ms = Duration::from_millis;
        // The machine became slower: every pair says 2, which the medians alone would not.
        let timed = medians(&[(ms(10), ms(20)), (ms(20), ms(40)), (ms(400), ms(800))]);
        assert_eq!(timed, Timed { seconds: 0.04, ratio: 2.0 });
    }

    #[test]
    fn a_contender_that_fails_has_no_times_and_the_others_do() {
        let took = |ms| -> Run<'static> { Box::new(move || Ok(Some(Duration::from_millis(ms)))) };
        let contender = |name: &str, run| Contender { name: name.to_owned(), rounds_at_most: 2, run };
        let mut others = [contender("slow", took(30)), contender("broken", Box::new(|| Ok(None)))];
        let (base, timed) = interleaved(3, &mut contender("base", took(10)), &mut others).unwrap();
        assert_eq!(base.seconds, 0.01);
        assert_eq!(timed, [Some(Timed { seconds: 0.03, ratio: 3.0 }), None]);
    }
}
