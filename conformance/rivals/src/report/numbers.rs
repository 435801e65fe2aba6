//! Numbers as people read them: three digits, and a unit.

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many, such as 2.38 M.
    Count,
    /// Bytes of memory.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// From nanoseconds.
    Time,
    /// A small number with one digit behind the point.
    Few,
}

impl Unit {
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::Count => scaled(value, 1e3, &[(1e9, " G"), (1e6, " M"), (1e3, " k")], ""),
            // Memory is compared in bytes for as long as they can be read.
            Self::Bytes => scaled(value, 1e5, &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB")], " B"),
            Self::BytesPerSecond => {
                scaled(value, 1e3, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s")], " B/s")
            }
            Self::Time => scaled(value, 1e3, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs")], " ns"),
            Self::Few => format!("{value:.1}"),
        }
    }
}

/// What is less than `from` is written in ones.
fn scaled(value: f64, from: f64, scales: &[(f64, &str)], one: &str) -> String {
    // What would be rounded up to a thousand is written as one of the next.
    let found = scales.iter().find(|(scale, _)| value >= from && value >= scale * 0.9995);
    let Some((scale, unit)) = found else { return format!("{value:.0}{one}") };
    let value = value / scale;
    let digits = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let written =
            [999.4, 999.6, 1000.0, 2_383_000.0, 10_049.0, 99_960.0].map(|value| Unit::Count.write(value));
        assert_eq!(written, ["999", "1000", "1.00 k", "2.38 M", "10.0 k", "100 k"]);
        assert_eq!(Unit::Bytes.write(21_004.0), "21004 B");
        assert_eq!(Unit::Time.write(54_200.0), "54.2 µs");
    }
}
