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
            Self::Count => scaled(value, &[(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")]),
            Self::Bytes => scaled(value, &[(1e9, " GB"), (1e6, " MB"), (1e4, " kB"), (1.0, " B")]),
            Self::BytesPerSecond => {
                scaled(value, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s"), (1.0, " B/s")])
            }
            Self::Time => scaled(value, &[(1e9, " s"), (1e6, " ms"), (1e3, " µs"), (1.0, " ns")]),
            Self::Few => format!("{value:.1}"),
        }
    }
}

fn scaled(value: f64, scales: &[(f64, &str)]) -> String {
    let least = (1.0, "");
    let (scale, unit) = scales.iter().find(|(scale, _)| value >= scale * 0.9995).copied().unwrap_or(least);
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
