//! Where values stand on an axis, and which of them are named there.

/// An axis from 0 to 1 for values in a range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear { max: f64 },
    /// Each step is so many times the one before.
    Logarithmic { min: f64, max: f64 },
}

/// From which ratio of the largest value to the smallest on the small ones would lie on the axis.
const WIDE: f64 = 50.0;
/// About so many values are named.
const TICKS: f64 = 5.0;

impl Scale {
    /// An axis for these values, from 0 if they are close enough together.
    pub(super) fn fitting(values: impl Iterator<Item = f64> + Clone) -> Self {
        let max = values.clone().fold(0.0, f64::max);
        let min = values.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
        if max / min < WIDE || max <= 0.0 {
            return Self::linear(max);
        }
        Self::Logarithmic { min: round_down(min), max: round_up(max) }
    }

    /// An axis from 0 that ends at a round value.
    pub(super) fn linear(max: f64) -> Self {
        let max = if max > 0.0 { max } else { 1.0 };
        let step = step(max);
        Self::Linear { max: (max / step - 1e-9).ceil() * step }
    }

    /// The same axis, ended where the values end.
    pub(super) fn cut(self, at: f64) -> Self {
        match self {
            Self::Linear { .. } if at > 0.0 => Self::Linear { max: at },
            scale => scale,
        }
    }

    pub(super) const fn is_logarithmic(&self) -> bool {
        matches!(self, Self::Logarithmic { .. })
    }

    /// Where a value stands.
    pub(super) fn place(&self, value: f64) -> f64 {
        let place = match *self {
            Self::Linear { max } => value / max,
            Self::Logarithmic { min, max } => (value.max(min) / min).ln() / (max / min).ln(),
        };
        place.clamp(0.0, 1.0)
    }

    /// The values to name.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match *self {
            Self::Linear { max } => {
                let step = step(max);
                (0..=(max / step + 1e-9) as u32).map(|number| f64::from(number) * step).collect()
            }
            Self::Logarithmic { min, max } => {
                let (first, last) = (min.log10().floor() as i32, max.log10().ceil() as i32);
                // In a few decades there is room for more.
                let each: &[f64] = if last - first <= 3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let all = (first..=last).flat_map(|decade| each.iter().map(move |n| n * power(decade)));
                all.filter(|&tick| tick >= min * 0.999 && tick <= max * 1.001).collect()
            }
        }
    }
}

/// Where a quantile stands on the axis of HdrHistogram's charts: each step to the right leaves a tenth of what lies above. `1.0`
/// stands at the right end, of so many values.
pub(super) fn quantile_place(quantile: f64, count: u64) -> f64 {
    let end = decades(count);
    let above = 1.0 - quantile;
    let place = if above > 0.0 { -above.log10() } else { end };
    (place / end).clamp(0.0, 1.0)
}

/// The quantiles to name on that axis: `50 %`, `90 %`, `99 %` ...
pub(super) fn quantile_ticks(count: u64) -> Vec<(f64, String)> {
    let decades = decades(count);
    let mut ticks = vec![(0.0, "0 %".to_owned()), (quantile_place(0.5, count), "50 %".to_owned())];
    for decade in 1..=decades as usize {
        let name = match decade {
            1 => "90 %".to_owned(),
            2 => "99 %".to_owned(),
            _ => format!("99.{} %", "9".repeat(decade - 2)),
        };
        ticks.push((decade as f64 / decades, name));
    }
    ticks
}

/// How many tenths of tenths there are in so many values; at least one.
fn decades(count: u64) -> f64 {
    (count.max(10) as f64).log10()
}

fn power(decade: i32) -> f64 {
    10f64.powi(decade)
}

/// The distance between named values: 1, 2 or 5 of a decade.
fn step(max: f64) -> f64 {
    round_up(max / TICKS)
}

/// The next 1, 2 or 5 of a decade that is not below.
fn round_up(value: f64) -> f64 {
    let decade = power(value.log10().floor() as i32);
    [1.0, 2.0, 5.0]
        .map(|n| n * decade)
        .into_iter()
        .find(|&round| round >= value * (1.0 - 1e-9))
        .unwrap_or(10.0 * decade)
}

/// The next 1, 2 or 5 of a decade that is not above.
fn round_down(value: f64) -> f64 {
    let decade = power(value.log10().floor() as i32);
    [5.0, 2.0].map(|n| n * decade).into_iter().find(|&round| round <= value * (1.0 + 1e-9)).unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: &[f64], other: &[f64]) {
        let same = one.len() == other.len()
            && one.iter().zip(other).all(|(a, b)| (a - b).abs() < 1e-6 * b.max(1e-6));
        assert!(same, "{one:?} is not {other:?}");
    }

    #[test]
    fn values_that_are_close_together_stand_above_zero() {
        let scale = Scale::fitting([300.0, 412.0, 90.0].into_iter());
        assert_eq!(scale, Scale::Linear { max: 500.0 });
        close(&scale.ticks(), &[0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        assert_eq!([0.0, 250.0, 500.0, 600.0].map(|value| scale.place(value)), [0.0, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn values_that_are_far_apart_stand_in_decades() {
        let scale = Scale::fitting([30.0, 0.0, 700_000.0].into_iter());
        assert_eq!(scale, Scale::Logarithmic { min: 20.0, max: 1e6 });
        close(&scale.ticks(), &[1e2, 1e3, 1e4, 1e5, 1e6]);
        assert!((scale.place(1e6) - 1.0).abs() < 1e-9 && scale.place(20.0) == 0.0 && scale.place(0.0) == 0.0);
        let steps = [1e3, 1e4, 1e5].map(|value| scale.place(value));
        assert!((steps[1] - steps[0] - (steps[2] - steps[1])).abs() < 1e-9, "{steps:?}");
        close(&Scale::fitting([1.0, 60.0].into_iter()).ticks(), &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }

    #[test]
    fn any_range_has_some_ticks_in_it() {
        for exponent in -9..15 {
            for factor in [1.0, 1.7, 3.0, 4.9, 9.99] {
                let max = factor * power(exponent);
                for scale in [Scale::linear(max), Scale::fitting([max, max / 60.0].into_iter())] {
                    let ticks = scale.ticks();
                    assert!((2..=9).contains(&ticks.len()), "{scale:?} {ticks:?}");
                    assert!(
                        ticks.windows(2).all(|two| scale.place(two[0]) < scale.place(two[1])),
                        "{scale:?}"
                    );
                }
            }
        }
        assert_eq!(Scale::fitting([].into_iter()), Scale::Linear { max: 1.0 });
        assert_eq!(Scale::fitting([0.0].into_iter()), Scale::Linear { max: 1.0 });
    }

    #[test]
    fn an_axis_can_end_where_the_values_do() {
        let scale = Scale::linear(9.7).cut(9.7);
        assert_eq!(scale.place(9.7), 1.0);
        close(&scale.ticks(), &[0.0, 2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn quantiles_stand_by_what_lies_above_them() {
        let places = [0.0, 0.9, 0.99, 0.999, 1.0].map(|quantile| quantile_place(quantile, 10_000));
        close(&places, &[0.0, 0.25, 0.5, 0.75, 1.0]);
        let ticks: Vec<_> = quantile_ticks(10_000).into_iter().map(|(_, name)| name).collect();
        assert_eq!(ticks, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(quantile_ticks(1).len(), 3);
    }
}
